using System.Runtime.CompilerServices;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;

namespace Nanograd.CSharp;

/// <summary>How far a gradient is from central differences, at the element where it is farthest.</summary>
/// <param name="Error">|symbolic - numeric| / (1 + |numeric|): 1e-7 or less for a right gradient of a smooth function.</param>
/// <param name="Path">Which tensor of the argument: empty for a single one, <c>1</c> for the second of a tuple or an array.</param>
/// <param name="Index">Which element of it.</param>
/// <param name="Symbolic">Its derivative by differentiation.</param>
/// <param name="Numeric">Its derivative by differences.</param>
public sealed record GradientCheck(double Error, string Path, IReadOnlyList<int> Index, double Symbolic, double Numeric)
{
    /// <summary>All of it on one line.</summary>
    public override string ToString() => new Nanograd.GradientCheck(Error, Path, [.. Index], Symbolic, Numeric).ToString();
}

/// <summary>
/// Derivatives, batching and loops of functions, as <c>torch.func</c> and JAX have them. The functions are traced: they see
/// expressions instead of values, and must be made of tensor operations. All of these nest, in any order.
/// </summary>
/// <remarks>
/// Where a type parameter stands, arguments and results are trees: a tensor, or an array or a value tuple of trees, such as
/// <c>(Tensor H, Tensor C)</c> or <c>Tensor[]</c>. Gradients of <see cref="Tensor.Backward"/> flow through the results to the
/// arguments and to what the function closes over; Detach and NoGrad inside the function cut them off, as they do its
/// derivatives.
/// </remarks>
public static partial class Functional
{
    private static Func<Tensor, Tensor> Lift(Func<FSharpFunc<Node, Node>, Node, Node> transform, Func<Tensor, Tensor> f) => x =>
    {
        var trace = new Trace(x);
        return trace.Result(transform(trace.Lower(f), Trace.Given([x])[0]));
    };

    private static Func<(Tensor, Tensor), U> Tupled<U>(Func<Tensor, Tensor, U> f) => p => f(p.Item1, p.Item2);

    // ------------------------------------------------------------------------------------------------ gradients

    /// <summary>The gradient of a scalar function: a function of the same argument.</summary>
    /// <example><code>Functional.Grad(x => (x * x).Sum())(Tensor.FromArray([1f, 2f])) // tensor([2., 4.])</code></example>
    [OverloadResolutionPriority(1)]
    public static Func<Tensor, Tensor> Grad(Func<Tensor, Tensor> f) => x => ValueAndGrad(f, x).Gradient;

    /// <summary>The gradients of a scalar function of two tensors: a function of the same arguments.</summary>
    /// <example><code>Functional.Grad((x, y) => x * y)(2f, 3f) // (tensor(3.), tensor(2.))</code></example>
    public static Func<Tensor, Tensor, (Tensor First, Tensor Second)> Grad(Func<Tensor, Tensor, Tensor> f) =>
        (x, y) => ValueAndGrad(Tupled(f), (x, y)).Gradient;

    /// <summary>The gradient of a scalar function of a tree: a tree of the same form. Tensors that are not floats get zeros.</summary>
    /// <example><code>Functional.Grad((Tensor[] p) => p[0] * p[1])([2f, 3f]) // [tensor(3.), tensor(2.)]</code></example>
    public static Func<T, T> Grad<T>(Func<T, Tensor> f) => x => ValueAndGrad(f, x).Gradient;

    /// <summary>The value of a scalar function and its gradient.</summary>
    /// <example><code>Functional.ValueAndGrad(x => x * x, Tensor.Scalar(3)) // (tensor(9.), tensor(6.))</code></example>
    [OverloadResolutionPriority(1)]
    public static (Tensor Value, Tensor Gradient) ValueAndGrad(Func<Tensor, Tensor> f, Tensor x) => ValueAndGrad<Tensor>(f, x);

    /// <summary>The value of a scalar function of a tree and its gradient, a tree of the same form.</summary>
    /// <example><code>Functional.ValueAndGrad(p => p.w * p.x, (w: Tensor.Scalar(2), x: Tensor.Scalar(3))) // (tensor(6.), (tensor(3.), tensor(2.)))</code></example>
    public static (Tensor Value, T Gradient) ValueAndGrad<T>(Func<T, Tensor> f, T x)
    {
        var leaves = Trees<T>.Leaves(x);
        var trace = new Trace(leaves);
        var (value, gradient) = Nanograd.Transforms.valueAndGrad(trace.LowerScalar(f, x), Trace.Given(leaves));
        var all = trace.Results([value, .. gradient]);
        return (all[0], Trees<T>.Rebuild(x, all[1..]));
    }

    // ------------------------------------------------------------------------------------------------ derivatives

    /// <summary>The value of a function at <paramref name="x"/> and how it changes along <paramref name="tangent"/> (forward mode).</summary>
    /// <exception cref="ArgumentException">A tangent has not the type and shape of its tensor.</exception>
    /// <example><code>Functional.Jvp(x => x * x, Tensor.Scalar(3), 1f) // (tensor(9.), tensor(6.))</code></example>
    [OverloadResolutionPriority(1)]
    public static (Tensor Value, Tensor Tangent) Jvp(Func<Tensor, Tensor> f, Tensor x, Tensor tangent) => Jvp<Tensor, Tensor>(f, x, tangent);

    /// <summary>The same for trees; the tangent has the form of <paramref name="x"/>, and that of the result has its form.</summary>
    /// <exception cref="ArgumentException">A tangent has not the type and shape of its tensor.</exception>
    public static (U Value, U Tangent) Jvp<T, U>(Func<T, U> f, T x, T tangent)
    {
        Tensor[] leaves = Trees<T>.Leaves(x), tangents = Trees<T>.Leaves(tangent);
        var trace = new Trace([.. leaves, .. tangents]);
        var form = new StrongBox<U>();
        var (value, derived) = Derivatives.jvp(trace.Lower(f, x, form), Trace.Given(leaves), Trace.Given(tangents));
        return (Trees<U>.Rebuild(form.Value!, trace.Results(value)), Trees<U>.Rebuild(form.Value!, trace.Results(derived)));
    }

    /// <summary>The value of a function at <paramref name="x"/>, and the map from cotangents of the result to cotangents of the argument (reverse mode).</summary>
    /// <exception cref="ArgumentException">From the map: a cotangent has not the type and shape of its result.</exception>
    /// <example><code>Functional.Vjp(x => x * x, Tensor.FromArray([1f, 2f])).Pullback(Tensor.FromArray([1f, 10f])) // tensor([2., 40.])</code></example>
    [OverloadResolutionPriority(1)]
    public static (Tensor Value, Func<Tensor, Tensor> Pullback) Vjp(Func<Tensor, Tensor> f, Tensor x) => Vjp<Tensor, Tensor>(f, x);

    /// <summary>The same for trees.</summary>
    /// <exception cref="ArgumentException">From the map: a cotangent has not the type and shape of its result.</exception>
    public static (U Value, Func<U, T> Pullback) Vjp<T, U>(Func<T, U> f, T x)
    {
        var leaves = Trees<T>.Leaves(x);
        var trace = new Trace(leaves);
        var form = new StrongBox<U>();
        var (value, pullback) = Derivatives.vjp(trace.Lower(f, x, form), Trace.Given(leaves));
        return (Trees<U>.Rebuild(form.Value!, trace.Results(value)), cotangent =>
        {
            var given = Trees<U>.Leaves(cotangent);
            return Trees<T>.Rebuild(x, trace.Results(pullback.Invoke(Trace.Given(given)), given));
        }
        );
    }

    /// <summary>
    /// The value of a function at <paramref name="x"/> and its linear approximation there, as a function of tangents. What the
    /// function computes is computed here, once; gradients of Backward do not flow through it.
    /// </summary>
    /// <exception cref="ArgumentException">From the map: a tangent has not the type and shape of its tensor.</exception>
    /// <example><code>Functional.Linearize(x => x.Exp(), Tensor.Scalar(0)).Push(3f) // tensor(3.)</code></example>
    [OverloadResolutionPriority(1)]
    public static (Tensor Value, Func<Tensor, Tensor> Push) Linearize(Func<Tensor, Tensor> f, Tensor x) => Linearize<Tensor, Tensor>(f, x);

    /// <summary>The same for trees.</summary>
    /// <exception cref="ArgumentException">From the map: a tangent has not the type and shape of its tensor.</exception>
    public static (U Value, Func<T, U> Push) Linearize<T, U>(Func<T, U> f, T x)
    {
        var leaves = Trees<T>.Leaves(x);
        var trace = new Trace(leaves);
        var form = new StrongBox<U>();
        var (value, push) = Derivatives.linearize(trace.Lower(f, x, form), Trace.Given(leaves));
        return (Trees<U>.Rebuild(form.Value!, Trace.Computed(value, trace)), tangent =>
        {
            var given = Trees<T>.Leaves(tangent);
            return Trees<U>.Rebuild(form.Value!, trace.Results(push.Invoke(Trace.Given(given)), given));
        }
        );
    }

    /// <summary>All partial derivatives: the result's shape, then the argument's. By the mode that needs fewer passes.</summary>
    /// <exception cref="ArgumentException">Argument or result are not floats.</exception>
    /// <example><code>Functional.Jacobian(x => x * x.Sum())(Tensor.FromArray([1f, 2f])) // tensor([[4., 1.], [2., 5.]])</code></example>
    public static Func<Tensor, Tensor> Jacobian(Func<Tensor, Tensor> f) => Lift(Derivatives.jacobian, f);

    /// <summary>The same by forward mode: a batch of as many passes as the argument has elements.</summary>
    /// <exception cref="ArgumentException">Argument or result are not floats.</exception>
    public static Func<Tensor, Tensor> JacobianForward(Func<Tensor, Tensor> f) => Lift(Derivatives.jacobianForward, f);

    /// <summary>The same by reverse mode: a batch of as many passes as the result has elements.</summary>
    /// <exception cref="ArgumentException">Argument or result are not floats.</exception>
    public static Func<Tensor, Tensor> JacobianReverse(Func<Tensor, Tensor> f) => Lift(Derivatives.jacobianReverse, f);

    /// <summary>All second partial derivatives of a scalar function: the argument's shape twice.</summary>
    /// <exception cref="ArgumentException">The result is not a scalar, or the argument not of floats.</exception>
    public static Func<Tensor, Tensor> Hessian(Func<Tensor, Tensor> f) => Lift(Derivatives.hessian, f);

    /// <summary>The Hessian of a scalar function times a vector, without the Hessian.</summary>
    /// <exception cref="ArgumentException">The result is not a scalar, or the vector does not fit.</exception>
    [OverloadResolutionPriority(1)]
    public static Tensor Hvp(Func<Tensor, Tensor> f, Tensor x, Tensor vector) => Hvp<Tensor>(f, x, vector);

    /// <summary>The Hessian of a scalar function of a tree times a vector of the same form.</summary>
    /// <exception cref="ArgumentException">The result is not a scalar, or the vector does not fit.</exception>
    public static T Hvp<T>(Func<T, Tensor> f, T x, T vector)
    {
        Tensor[] leaves = Trees<T>.Leaves(x), given = Trees<T>.Leaves(vector);
        var trace = new Trace([.. leaves, .. given]);
        return Trees<T>.Rebuild(x, trace.Results(Derivatives.hvp(trace.LowerScalar(f, x), Trace.Given(leaves), Trace.Given(given))));
    }

    /// <summary>The sum of the unmixed second derivatives.</summary>
    /// <exception cref="ArgumentException">Argument or result are not floats.</exception>
    public static Func<Tensor, Tensor> Laplacian(Func<Tensor, Tensor> f) => Lift(Derivatives.laplacian, f);

    /// <summary>The divergence of a vector field.</summary>
    /// <exception cref="ArgumentException">The field has not the shape of the point.</exception>
    public static Func<Tensor, Tensor> Divergence(Func<Tensor, Tensor> f) => Lift(Derivatives.divergence, f);

    /// <summary>The curl of a vector field of two or three dimensions.</summary>
    /// <exception cref="ArgumentException">The point is not [2] or [3], or the field has another shape.</exception>
    public static Func<Tensor, Tensor> Curl(Func<Tensor, Tensor> f) => Lift(Derivatives.curl, f);

    /// <summary>The n-th derivative of a function of a scalar; the result may have any shape.</summary>
    /// <exception cref="ArgumentException">The argument is not a scalar, or n is negative.</exception>
    /// <example><code>Functional.Derivative(2, x => x.Pow(3f))(5f) // tensor(30.)</code></example>
    public static Func<Tensor, Tensor> Derivative(int n, Func<Tensor, Tensor> f) => Lift((g, x) => Derivatives.derivative(n, g, x), f);

    /// <summary>
    /// Compares the gradient of a function with central differences, element by element, in 64-bit floats, and says where they
    /// differ most (PyTorch: torch.autograd.gradcheck). The function is evaluated four times for each element.
    /// </summary>
    /// <param name="f">It must compute in the type of its argument.</param>
    /// <param name="at">Where: its floats are taken as 64-bit floats.</param>
    /// <exception cref="ArgumentException">The result is no float, or the argument has no float elements.</exception>
    /// <example><code>Functional.CheckGradient(x => x.Sin() * x, Tensor.FromArray([1f, 2f])).Error // less than 1e-8</code></example>
    [OverloadResolutionPriority(1)]
    public static GradientCheck CheckGradient(Func<Tensor, Tensor> f, Tensor at) => CheckGradient<Tensor>(f, at);

    /// <summary>The same for a function of a tree.</summary>
    /// <exception cref="ArgumentException">The result is no float, or the argument has no float elements.</exception>
    public static GradientCheck CheckGradient<T>(Func<T, Tensor> f, T at)
    {
        var leaves = Trees<T>.Leaves(at);
        var found = GradientChecks.checkGradient(new Trace(leaves).LowerScalar(f, at), Trace.Given(leaves));
        var path = Trees<T>.Paths(at)[int.Parse(found.Path, System.Globalization.CultureInfo.InvariantCulture)];
        return new(found.Error, path, Array.AsReadOnly(found.Index), found.Symbolic, found.Numeric);
    }

    // ------------------------------------------------------------------------------------------------ batches

    /// <summary>The function applied to many examples at once: to every slice of its argument along an axis, the results stacked.</summary>
    /// <param name="f">A function of one example; it sees no batch axis.</param>
    /// <param name="inAxes">Where the argument has its batch axis; [0] if it is not given. Negative numbers count from the end.</param>
    /// <param name="outAxis">Where the results get theirs.</param>
    /// <exception cref="ArgumentException">From the function: a batch axis does not exist.</exception>
    /// <example><code>Functional.Vmap(Functional.Grad(x => (x * x).Sum())) // the gradient of each row</code></example>
    [OverloadResolutionPriority(1)]
    public static Func<Tensor, Tensor> Vmap(Func<Tensor, Tensor> f, int?[]? inAxes = null, int outAxis = 0) => Vmap<Tensor, Tensor>(f, inAxes, outAxis);

    /// <summary>The same for functions of two tensors: <c>inAxes: [0, null]</c> takes the second whole for every example.</summary>
    /// <exception cref="ArgumentException">From the function: batch axes do not exist, or differ in extent.</exception>
    /// <example><code>Functional.Vmap((x, w) => (x * w).Sum(), [0, null])(rows, w) // [rows]</code></example>
    [OverloadResolutionPriority(1)]
    public static Func<Tensor, Tensor, Tensor> Vmap(Func<Tensor, Tensor, Tensor> f, int?[]? inAxes = null, int outAxis = 0)
    {
        var both = Vmap(Tupled(f), inAxes, outAxis);
        return (x, y) => both((x, y));
    }

    /// <summary>The same for trees: one entry of <paramref name="inAxes"/> for all tensors of the argument, or one for each; null: shared.</summary>
    /// <exception cref="ArgumentException">From the function: batch axes do not exist, or differ in extent.</exception>
    public static Func<T, U> Vmap<T, U>(Func<T, U> f, int?[]? inAxes = null, int outAxis = 0)
    {
        var axes = ListModule.OfSeq((inAxes ?? [0]).Select(a => a is { } axis ? FSharpOption<int>.Some(axis) : null!));
        return x =>
        {
            var leaves = Trees<T>.Leaves(x);
            var trace = new Trace(leaves);
            var form = new StrongBox<U>();
            var results = Batching.vmapAxes(axes, outAxis, trace.Lower(f, x, form), Trace.Given(leaves));
            return Trees<U>.Rebuild(form.Value!, trace.Results(results));
        };
    }

    // ------------------------------------------------------------------------------------------------ compilation

    /// <summary>The function compiled: traced once for each shape and type, then one program.</summary>
    /// <remarks>
    /// Calls compute at once, and gradients of Backward do not flow through the results. What the function closes over keeps
    /// the value it had when it was traced; parameters that an optimizer changes should be arguments.
    /// </remarks>
    [OverloadResolutionPriority(1)]
    public static Func<Tensor, Tensor> Jit(Func<Tensor, Tensor> f) => Jit<Tensor, Tensor>(f);

    /// <summary>The same for functions of two tensors.</summary>
    [OverloadResolutionPriority(1)]
    public static Func<Tensor, Tensor, Tensor> Jit(Func<Tensor, Tensor, Tensor> f)
    {
        var both = Jit(Tupled(f));
        return (x, y) => both((x, y));
    }

    /// <summary>The same for trees. Arrays of different lengths are compiled anew.</summary>
    public static Func<T, U> Jit<T, U>(Func<T, U> f)
    {
        // The form of an argument is that of its type and the lengths of its arrays: its paths. One compiled function for each.
        var compiled = new System.Collections.Concurrent.ConcurrentDictionary<string, (FSharpFunc<Node[], Node[]> Run, StrongBox<U> Form)>();
        return x =>
        {
            var leaves = Trees<T>.Leaves(x);
            var (run, form) = compiled.GetOrAdd(string.Join(' ', Trees<T>.Paths(x)), _ =>
            {
                var box = new StrongBox<U>();
                return (Nanograd.Transforms.jit(new Trace().Lower(f, x, box)), box);
            });
            foreach (var data in leaves.Where(t => t.Lineage is null && !t.IsOpen))
            {
                data.Read(); // computed once, not in every call
            }

            var results = run.Invoke(Trace.Given(leaves));
            return Trees<U>.Rebuild(form.Value!, Trace.Computed(results, new Trace(leaves)));
        };
    }
}
