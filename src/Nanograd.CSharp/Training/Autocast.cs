namespace Nanograd.CSharp;

/// <summary>
/// While one of these is not disposed, this thread's products and convolutions of f32 take and give 16-bit numbers, summed
/// in f32; everything else stays f32, as under <c>torch.autocast</c>. Parameters stay f32, and so do their gradients.
/// </summary>
/// <example><code>
/// using (new Autocast(DType.BFloat16))
/// {
///     loss = F.CrossEntropy(model.Forward(x), y);
/// }
/// </code></example>
public sealed class Autocast : IDisposable
{
    [ThreadStatic]
    private static Autocast? _current;

    private readonly Autocast? _outer;
    private readonly CoreType _type;
    private bool _disposed;

    /// <summary>Switches 16-bit products on until <see cref="Dispose"/>.</summary>
    /// <param name="dtype"><see cref="DType.BFloat16"/> or <see cref="DType.Float16"/>.</param>
    /// <param name="enabled">False: switches them off inside another scope.</param>
    public Autocast(DType dtype = DType.BFloat16, bool enabled = true)
    {
        if (dtype is not (DType.BFloat16 or DType.Float16))
        {
            throw new ArgumentException($"Autocast: the type must be BFloat16 or Float16, got {dtype}.");
        }

        (_type, _outer, IsEnabled) = (dtype.ToCore(), _current, enabled);
        _current = this;
    }

    /// <summary>Whether products are in 16 bits here.</summary>
    public bool IsEnabled { get; }

    /// <summary>What was just built of operands, in the precision of the scope.</summary>
    internal static Node[] Applied(Node[] built, Node?[] operands) => _current is { IsEnabled: true } scope
        ? Zoo.MixedPrecision.Above(scope._type, built, [.. operands.OfType<Node>()])
        : built;

    /// <summary>Back to what was before.</summary>
    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _current = _outer;
        }
    }
}
