using Microsoft.FSharp.Core;

namespace Nanograd.CSharp;

/// <summary>
/// Derivatives and batching of functions, as <c>torch.func</c> and JAX have them. The functions are traced: they see
/// expressions instead of values, and must be made of tensor operations. All of these nest, in any order.
/// </summary>
public static class Functional
{
    /// <summary>The gradient of a scalar function: a function of the same argument.</summary>
    public static Func<Tensor, Tensor> Grad(Func<Tensor, Tensor> f) => Lift(x => Transforms.grad(Lower(f), x));

    /// <summary>The value of a scalar function and its gradient.</summary>
    public static (Tensor Value, Tensor Gradient) ValueAndGrad(Func<Tensor, Tensor> f, Tensor x)
    {
        var (value, gradient) = Transforms.valueAndGrad(Lower(f), x.Expression);
        return (new(value), new(gradient));
    }

    /// <summary>The value of a function at <paramref name="x"/> and how it changes along <paramref name="tangent"/> (forward mode).</summary>
    public static (Tensor Value, Tensor Tangent) Jvp(Func<Tensor, Tensor> f, Tensor x, Tensor tangent)
    {
        var (value, derived) = Derivatives.jvp(Lower(f), x.Expression, tangent.Expression);
        return (new(value), new(derived));
    }

    /// <summary>The value of a function at <paramref name="x"/>, and the map from cotangents of the result to cotangents of the argument (reverse mode).</summary>
    public static (Tensor Value, Func<Tensor, Tensor> Pullback) Vjp(Func<Tensor, Tensor> f, Tensor x)
    {
        var (value, pullback) = Derivatives.vjp(Lower(f), x.Expression);
        return (new(value), Lift(pullback.Invoke));
    }

    /// <summary>The value of a function at <paramref name="x"/> and its linear approximation there, as a function of tangents.</summary>
    public static (Tensor Value, Func<Tensor, Tensor> Push) Linearize(Func<Tensor, Tensor> f, Tensor x)
    {
        var (value, push) = Derivatives.linearize(Lower(f), x.Expression);
        return (new(value), Lift(push.Invoke));
    }

    /// <summary>All partial derivatives: the result's shape, then the argument's.</summary>
    public static Func<Tensor, Tensor> Jacobian(Func<Tensor, Tensor> f) => Lift(x => Derivatives.jacobian(Lower(f), x));

    /// <summary>All second partial derivatives of a scalar function: the argument's shape twice.</summary>
    public static Func<Tensor, Tensor> Hessian(Func<Tensor, Tensor> f) => Lift(x => Derivatives.hessian(Lower(f), x));

    /// <summary>The Hessian of a scalar function times a vector, without the Hessian.</summary>
    public static Tensor Hvp(Func<Tensor, Tensor> f, Tensor x, Tensor vector) =>
        new(Derivatives.hvp(Lower(f), x.Expression, vector.Expression));

    /// <summary>The sum of the unmixed second derivatives.</summary>
    public static Func<Tensor, Tensor> Laplacian(Func<Tensor, Tensor> f) => Lift(x => Derivatives.laplacian(Lower(f), x));

    /// <summary>The divergence of a vector field.</summary>
    public static Func<Tensor, Tensor> Divergence(Func<Tensor, Tensor> f) => Lift(x => Derivatives.divergence(Lower(f), x));

    /// <summary>The curl of a vector field of two or three dimensions.</summary>
    public static Func<Tensor, Tensor> Curl(Func<Tensor, Tensor> f) => Lift(x => Derivatives.curl(Lower(f), x));

    /// <summary>The function applied to every slice of axis 0 at once, its results stacked along axis 0.</summary>
    public static Func<Tensor, Tensor> Vmap(Func<Tensor, Tensor> f) => Lift(x => Batching.vmap(Lower(f), x));

    /// <summary>The function compiled: traced once for each shape and type, then one program.</summary>
    public static Func<Tensor, Tensor> Jit(Func<Tensor, Tensor> f)
    {
        var run = Transforms.jit(Lower(f));
        return x => new Tensor(run.Invoke(x.Expression));
    }

    private static FSharpFunc<Node, Node> Lower(Func<Tensor, Tensor> f) =>
        FSharpFunc<Node, Node>.FromConverter(x => f(new Tensor(x)).Expression);

    private static Func<Tensor, Tensor> Lift(Func<Node, Node> f) => x => Tensor.Make(n => f(n[0]!), x);
}
