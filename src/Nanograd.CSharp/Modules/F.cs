namespace Nanograd.CSharp;

/// <summary>The functions that modules are made of: PyTorch's <c>torch.nn.functional</c>.</summary>
public static partial class F
{
    /// <summary>x W^T + b.</summary>
    public static Tensor Linear(Tensor input, Tensor weight, Tensor? bias = null) =>
        Tensor.Make(n => Zoo.Layers.Linear(n[0]!, n[1]!, n[2]), input, weight, bias);
}
