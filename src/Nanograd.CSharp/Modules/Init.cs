namespace Nanograd.CSharp;

/// <summary>
/// How weights start: PyTorch's <c>torch.nn.init</c>. Each function puts new values into a parameter and returns it.
/// </summary>
/// <example><code>model.Apply(m => { if (m is Linear linear) Init.KaimingNormal(linear.Weight, nonlinearity: "relu"); })</code></example>
public static class Init
{
    /// <summary>The factor recommended for what follows a layer: linear, conv1d ..., sigmoid, tanh, relu, leaky_relu or selu.</summary>
    /// <param name="nonlinearity">Its name.</param>
    /// <param name="param">The slope of leaky_relu; 0.01 unless given.</param>
    public static double CalculateGain(string nonlinearity, double? param = null) => Zoo.Inits.Gain(nonlinearity, param ?? 0.01);

    /// <summary>Uniform between two bounds.</summary>
    public static Parameter Uniform(Parameter tensor, double a = 0, double b = 1, Generator? generator = null) =>
        Random(tensor, generator, (key, shape) => Zoo.Inits.Uniform(key, shape, a, b));

    /// <summary>Normal.</summary>
    public static Parameter Normal(Parameter tensor, double mean = 0, double std = 1, Generator? generator = null) =>
        Random(tensor, generator, (key, shape) => Zoo.Inits.Normal(key, shape, mean, std));

    /// <summary>Normal, but within two bounds.</summary>
    public static Parameter TruncNormal(Parameter tensor, double mean = 0, double std = 1, double a = -2, double b = 2, Generator? generator = null) =>
        Random(tensor, generator, (key, shape) => Zoo.Inits.TruncNormal(key, shape, mean, std, a, b));

    /// <summary>One number everywhere.</summary>
    public static Parameter Constant(Parameter tensor, double val) => Put(tensor, Tensor.Full([.. tensor.Shape], val));

    /// <summary>Ones.</summary>
    public static Parameter Ones(Parameter tensor) => Constant(tensor, 1);

    /// <summary>Zeros.</summary>
    public static Parameter Zeros(Parameter tensor) => Constant(tensor, 0);

    /// <summary>The identity, as far as a matrix can be it.</summary>
    public static Parameter Eye(Parameter tensor) => Put(tensor, new Tensor(Zoo.Inits.Eye([.. tensor.Shape])));

    /// <summary>A convolution's weight [out, in, kernel...] that gives its input back, as far as there are channels.</summary>
    /// <param name="tensor">The weight.</param>
    /// <param name="groups">In how many groups of outputs.</param>
    public static Parameter Dirac(Parameter tensor, int groups = 1) => Put(tensor, new Tensor(Zoo.Inits.Dirac([.. tensor.Shape], groups)));

    /// <summary>Uniform with variance 2 gain² / (fan in + fan out) (Glorot and Bengio 2010).</summary>
    public static Parameter XavierUniform(Parameter tensor, double gain = 1, Generator? generator = null) =>
        Random(tensor, generator, (key, shape) => Zoo.Inits.XavierUniform(key, shape, gain));

    /// <summary>Normal with variance 2 gain² / (fan in + fan out) (Glorot and Bengio 2010).</summary>
    public static Parameter XavierNormal(Parameter tensor, double gain = 1, Generator? generator = null) =>
        Random(tensor, generator, (key, shape) => Zoo.Inits.XavierNormal(key, shape, gain));

    /// <summary>Uniform with variance gain² / fan (He et al. 2015).</summary>
    /// <param name="tensor">A weight [out, in, kernel...].</param>
    /// <param name="a">The slope of leaky_relu.</param>
    /// <param name="mode">"fan_in": activations keep their size; "fan_out": gradients do.</param>
    /// <param name="nonlinearity">What follows, as <see cref="CalculateGain"/> knows it.</param>
    /// <param name="generator">Where the randomness comes from.</param>
    public static Parameter KaimingUniform(
        Parameter tensor, double a = 0, string mode = "fan_in", string nonlinearity = "leaky_relu", Generator? generator = null) =>
        Random(tensor, generator, (key, shape) => Zoo.Inits.KaimingUniform(key, shape, nonlinearity, a, mode));

    /// <summary>Normal with variance gain² / fan (He et al. 2015).</summary>
    /// <param name="tensor">A weight [out, in, kernel...].</param>
    /// <param name="a">The slope of leaky_relu.</param>
    /// <param name="mode">"fan_in": activations keep their size; "fan_out": gradients do.</param>
    /// <param name="nonlinearity">What follows, as <see cref="CalculateGain"/> knows it.</param>
    /// <param name="generator">Where the randomness comes from.</param>
    public static Parameter KaimingNormal(
        Parameter tensor, double a = 0, string mode = "fan_in", string nonlinearity = "leaky_relu", Generator? generator = null) =>
        Random(tensor, generator, (key, shape) => Zoo.Inits.KaimingNormal(key, shape, nonlinearity, a, mode));

    /// <summary>Orthonormal rows or columns, whichever are fewer, times a gain (Saxe et al. 2013).</summary>
    public static Parameter Orthogonal(Parameter tensor, double gain = 1, Generator? generator = null) =>
        Random(tensor, generator, (key, shape) => Zoo.Inits.Orthogonal(key, shape, gain));

    /// <summary>A matrix of normal numbers, of which a share of each column is 0.</summary>
    public static Parameter Sparse(Parameter tensor, double sparsity, double std = 0.01, Generator? generator = null) =>
        Random(tensor, generator, (key, shape) => Zoo.Inits.Sparse(key, shape, sparsity, std));

    private static Parameter Random(Parameter tensor, Generator? generator, Func<Node, int[], Node> draw) =>
        Put(tensor, new Tensor(draw(Generator.NextKey(generator), [.. tensor.Shape])));

    private static Parameter Put(Parameter tensor, Tensor value)
    {
        tensor.Set(value);
        return tensor;
    }
}
