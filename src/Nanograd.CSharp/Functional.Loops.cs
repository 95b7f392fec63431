using System.Runtime.CompilerServices;
using Microsoft.FSharp.Core;

namespace Nanograd.CSharp;

public static partial class Functional
{
    private delegate Tuple<Node[], Node[]> Loop(FSharpFunc<Node[], FSharpFunc<Node[], Tuple<Node[], Node[]>>> f, Node[] start, Node[] xs);

    private static FSharpFunc<A, FSharpFunc<B, C>> Curried<A, B, C>(Func<A, B, C> f) =>
        FSharpFunc<A, FSharpFunc<B, C>>.FromConverter(a => FSharpFunc<B, C>.FromConverter(b => f(a, b)));

    private static (TCarry, TOutput) Scan<TCarry, TSlice, TOutput>(
        Loop loop, Func<TCarry, TSlice, (TCarry, TOutput)> f, TCarry start, TSlice xs)
    {
        Tensor[] carries = Trees<TCarry>.Leaves(start), slices = Trees<TSlice>.Leaves(xs);
        var trace = new Trace([.. carries, .. slices]);
        var form = new StrongBox<TOutput>();
        var step = Curried<Node[], Node[], Tuple<Node[], Node[]>>((c, x) =>
        {
            var count = 0;
            var results = trace.Call([.. c, .. x], t =>
            {
                var (next, output) = f(Trees<TCarry>.Rebuild(start, t[..c.Length]), Trees<TSlice>.Rebuild(xs, t[c.Length..]));
                form.Value = output;
                var carry = Trees<TCarry>.Leaves(next);
                count = carry.Length;
                return [.. carry, .. Trees<TOutput>.Leaves(output)];
            });
            return Tuple.Create(results[..count], results[count..]);
        });
        var (last, outputs) = loop(step, Trace.Given(carries), Trace.Given(slices));
        return (Trees<TCarry>.Rebuild(start, trace.Results(last)), Trees<TOutput>.Rebuild(form.Value!, trace.Results(outputs)));
    }

    /// <summary>
    /// A loop over the slices of <paramref name="xs"/> along their first axis: each step takes the carry and a slice to the next
    /// carry and an output. Gives the last carry, and the outputs of all steps stacked along a new first axis (JAX: lax.scan).
    /// </summary>
    /// <remarks>The function is traced once, however many steps there are. Its gradient is a loop backwards.</remarks>
    /// <param name="f">From carry and slice to the next carry (of the same types and shapes) and an output.</param>
    /// <param name="start">The carry before the first step.</param>
    /// <param name="xs">A tree of tensors <c>[steps, ...]</c> with one number of steps.</param>
    /// <exception cref="ArgumentException">A carry changes its type or shape, or numbers of steps differ.</exception>
    /// <example><code>Functional.Scan((s, x) => (s + x, s + x), 0f, Tensor.FromArray([1f, 2f, 3f])) // (tensor(6.), tensor([1., 3., 6.]))</code></example>
    [OverloadResolutionPriority(1)]
    public static (Tensor Last, Tensor Outputs) Scan(Func<Tensor, Tensor, (Tensor, Tensor)> f, Tensor start, Tensor xs) =>
        Scan(Loops.scan, f, start, xs);

    /// <summary>The same for trees: <c>Scan((s, x) => ((h, c), h), (H: h0, C: c0), xs)</c>.</summary>
    /// <exception cref="ArgumentException">A carry changes its structure, type or shape, or numbers of steps differ.</exception>
    public static (TCarry Last, TOutput Outputs) Scan<TCarry, TSlice, TOutput>(
        Func<TCarry, TSlice, (TCarry, TOutput)> f, TCarry start, TSlice xs) => Scan(Loops.scan, f, start, xs);

    /// <summary><see cref="Scan(Func{Tensor, Tensor, ValueTuple{Tensor, Tensor}}, Tensor, Tensor)"/> from the last slice to the first. Outputs stand where their slices do.</summary>
    /// <exception cref="ArgumentException">A carry changes its type or shape, or numbers of steps differ.</exception>
    [OverloadResolutionPriority(1)]
    public static (Tensor Last, Tensor Outputs) ScanReverse(Func<Tensor, Tensor, (Tensor, Tensor)> f, Tensor start, Tensor xs) =>
        Scan(Loops.scanReverse, f, start, xs);

    /// <summary>The same for trees.</summary>
    /// <exception cref="ArgumentException">A carry changes its structure, type or shape, or numbers of steps differ.</exception>
    public static (TCarry Last, TOutput Outputs) ScanReverse<TCarry, TSlice, TOutput>(
        Func<TCarry, TSlice, (TCarry, TOutput)> f, TCarry start, TSlice xs) => Scan(Loops.scanReverse, f, start, xs);

    /// <summary>
    /// A scan in <paramref name="segments"/> checkpointed pieces: with about sqrt(steps) of them the memory of a gradient grows
    /// with sqrt(steps), for the price of one more forward computation.
    /// </summary>
    /// <exception cref="ArgumentException">As for Scan; or there is not at least one segment.</exception>
    [OverloadResolutionPriority(1)]
    public static (Tensor Last, Tensor Outputs) ScanCheckpointed(int segments, Func<Tensor, Tensor, (Tensor, Tensor)> f, Tensor start, Tensor xs) =>
        ScanCheckpointed<Tensor, Tensor, Tensor>(segments, f, start, xs);

    /// <summary>The same for trees.</summary>
    /// <exception cref="ArgumentException">As for Scan; or there is not at least one segment.</exception>
    public static (TCarry Last, TOutput Outputs) ScanCheckpointed<TCarry, TSlice, TOutput>(
        int segments, Func<TCarry, TSlice, (TCarry, TOutput)> f, TCarry start, TSlice xs) =>
        Scan((g, s, x) => Loops.scanCheckpointed(segments, g, s, x), f, start, xs);

    /// <summary>The last carry of a loop without outputs: f(... f(f(start, xs[0]), xs[1]) ...).</summary>
    /// <exception cref="ArgumentException">The carry changes its type or shape.</exception>
    [OverloadResolutionPriority(1)]
    public static Tensor FoldRows(Func<Tensor, Tensor, Tensor> f, Tensor start, Tensor xs) => FoldRows<Tensor, Tensor>(f, start, xs);

    /// <summary>The same for trees.</summary>
    /// <exception cref="ArgumentException">The carry changes its structure, type or shape.</exception>
    public static TCarry FoldRows<TCarry, TSlice>(Func<TCarry, TSlice, TCarry> f, TCarry start, TSlice xs)
    {
        Tensor[] carries = Trees<TCarry>.Leaves(start), slices = Trees<TSlice>.Leaves(xs);
        var trace = new Trace([.. carries, .. slices]);
        var step = Curried<Node[], Node[], Node[]>((c, x) => trace.Call([.. c, .. x], t =>
            Trees<TCarry>.Leaves(f(Trees<TCarry>.Rebuild(start, t[..c.Length]), Trees<TSlice>.Rebuild(xs, t[c.Length..])))));
        return Trees<TCarry>.Rebuild(start, trace.Results(Loops.foldRows(step, Trace.Given(carries), Trace.Given(slices))));
    }

    /// <summary>The function of each slice along the first axis, one after the other, the results stacked: Vmap with the memory of one (JAX: lax.map).</summary>
    /// <exception cref="ArgumentException">The numbers of slices differ.</exception>
    [OverloadResolutionPriority(1)]
    public static Tensor MapRows(Func<Tensor, Tensor> f, Tensor xs) => MapRows<Tensor, Tensor>(f, xs);

    /// <summary>The same for trees.</summary>
    /// <exception cref="ArgumentException">The numbers of slices differ.</exception>
    public static U MapRows<T, U>(Func<T, U> f, T xs)
    {
        var leaves = Trees<T>.Leaves(xs);
        var trace = new Trace(leaves);
        var form = new StrongBox<U>();
        var results = Loops.mapRows(trace.Lower(f, xs, form), Trace.Given(leaves));
        return Trees<U>.Rebuild(form.Value!, trace.Results(results));
    }

    /// <summary>
    /// <paramref name="n"/> steps, each from its number (a scalar of type Int32: 0, 1, ...) and the carry to the next carry (JAX:
    /// lax.fori_loop).
    /// </summary>
    /// <exception cref="ArgumentException">The carry changes its type or shape, or n is negative.</exception>
    /// <example><code>Functional.ForLoop(5, (i, x) => x * 2f, 1f) // tensor(32.)</code></example>
    [OverloadResolutionPriority(1)]
    public static Tensor ForLoop(int n, Func<Tensor, Tensor, Tensor> f, Tensor start) => ForLoop<Tensor>(n, f, start);

    /// <summary>The same for trees.</summary>
    /// <exception cref="ArgumentException">The carry changes its structure, type or shape, or n is negative.</exception>
    public static T ForLoop<T>(int n, Func<Tensor, T, T> f, T start)
    {
        var leaves = Trees<T>.Leaves(start);
        var trace = new Trace(leaves);
        var step = Curried<Node, Node[], Node[]>((i, c) => trace.Call([i, .. c], t => Trees<T>.Leaves(f(t[0], Trees<T>.Rebuild(start, t[1..])))));
        return Trees<T>.Rebuild(start, trace.Results(Loops.forLoop(n, step, Trace.Given(leaves))));
    }

    /// <summary>
    /// The function at <paramref name="x"/>, whose inside is computed again in the backward pass instead of being kept: less
    /// memory for the gradient, for the price of one more forward computation (PyTorch: torch.utils.checkpoint).
    /// </summary>
    /// <example><code>for (...) h = Functional.Checkpoint(block.Forward, h);</code></example>
    [OverloadResolutionPriority(1)]
    public static Tensor Checkpoint(Func<Tensor, Tensor> f, Tensor x) => Checkpoint<Tensor, Tensor>(f, x);

    /// <summary>The same for trees.</summary>
    public static U Checkpoint<T, U>(Func<T, U> f, T x)
    {
        var leaves = Trees<T>.Leaves(x);
        var trace = new Trace(leaves) { CarriesUpdates = true };
        var form = new StrongBox<U>();
        var results = Loops.checkpoint(trace.Lower(f, x, form), Trace.Given(leaves));
        var updates = results[^trace.Updated.Length..];
        for (var i = 0; i < updates.Length; i++)
        {
            trace.Updated[i].Update(new Tensor(updates[i], null, frozen: true));
        }

        return Trees<U>.Rebuild(form.Value!, trace.Results(results[..^updates.Length]));
    }

    /// <summary>
    /// The function at <paramref name="x"/> with a gradient of one's own: from the argument and the cotangent of the result to
    /// the cotangent of the argument (PyTorch: torch.autograd.Function). What either closes over gets no gradient.
    /// </summary>
    /// <param name="name">How it prints.</param>
    /// <param name="f">The function.</param>
    /// <param name="gradient">Its gradient: <c>(x, cotangent) => ...</c>.</param>
    /// <param name="x">Where.</param>
    /// <exception cref="ArgumentException">The gradient has not the types and shapes of the argument.</exception>
    /// <example><code>Functional.CustomGradient("roundThrough", x => x.Round(), (_, c) => c, x)</code></example>
    [OverloadResolutionPriority(1)]
    public static Tensor CustomGradient(string name, Func<Tensor, Tensor> f, Func<Tensor, Tensor, Tensor> gradient, Tensor x) =>
        CustomGradient<Tensor, Tensor>(name, f, gradient, x);

    /// <summary>The same for trees.</summary>
    /// <exception cref="ArgumentException">The gradient has not the form, types and shapes of the argument.</exception>
    public static U CustomGradient<T, U>(string name, Func<T, U> f, Func<T, U, T> gradient, T x)
    {
        var leaves = Trees<T>.Leaves(x);
        var trace = new Trace(leaves);
        var form = new StrongBox<U>();
        var backward = Curried<Node[], Node[], Node[]>((v, c) => new Trace().Call([.. v, .. c], t =>
            Trees<T>.Leaves(gradient(Trees<T>.Rebuild(x, t[..v.Length]), Trees<U>.Rebuild(form.Value!, t[v.Length..])))));
        var results = Loops.customGradient(name, trace.Lower(f, x, form), backward, Trace.Given(leaves));
        return Trees<U>.Rebuild(form.Value!, trace.Results(results));
    }
}
