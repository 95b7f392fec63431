namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>32 random bits per element, u32.</summary>
    public static Tensor Bits(int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.bits(key, Checked(shape)));
    }

    /// <summary>Uniform in [0, 1), f32.</summary>
    public static Tensor Uniform(int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.uniform(key, Checked(shape)));
    }

    /// <summary>Whole numbers low, ..., high - 1, equally likely: i64.</summary>
    public static Tensor Integers(int low, int high, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.integers(low, high, key, Checked(shape)));
    }

    /// <summary>True with probability p.</summary>
    public static Tensor Bernoulli(Tensor p, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.bernoulli(x, key, Checked(shape)), p);
    }

    /// <summary>Standard normal, f32 (Box and Muller 1958). The radius has 32 random bits: tails reach 6.8.</summary>
    public static Tensor Normal(int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.normal(key, Checked(shape)));
    }

    /// <summary>exp of a normal number with that mean and standard deviation.</summary>
    public static Tensor LogNormal(Tensor mean, Tensor deviation, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make((x, y) => Nanograd.Random.logNormal(x, y, key, Checked(shape)), mean, deviation);
    }

    /// <summary>Standard normal numbers on condition that they lie between <c>low</c> and <c>high</c> (which may be infinite), f32, by inversion in f64.</summary>
    public static Tensor TruncatedNormal(double low, double high, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.truncatedNormal(low, high, key, Checked(shape)));
    }

    /// <summary>Exponential with a rate: mean 1 / rate.</summary>
    public static Tensor Exponential(Tensor rate, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.exponential(x, key, Checked(shape)), rate);
    }

    /// <summary>Standard Gumbel: -log(-log u). <c>argMax</c> of logits plus Gumbel noise is a sample of their softmax.</summary>
    public static Tensor Gumbel(int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.gumbel(key, Checked(shape)));
    }

    /// <summary>Standard logistic: log(u / (1 - u)).</summary>
    public static Tensor Logistic(int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.logistic(key, Checked(shape)));
    }

    /// <summary>Standard Laplace (two-sided exponential): density exp(-|x|) / 2.</summary>
    public static Tensor Laplace(int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.laplace(key, Checked(shape)));
    }

    /// <summary>Standard Cauchy: density 1 / (pi (1 + x²)).</summary>
    public static Tensor Cauchy(int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.cauchy(key, Checked(shape)));
    }

    /// <summary>How many failures before the first success of probability p: 0, 1, ... as f32.</summary>
    public static Tensor Geometric(Tensor p, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.geometric(x, key, Checked(shape)), p);
    }

    /// <summary>Gamma with a concentration (shape parameter) and rate 1: divide by a rate, or multiply by a scale. Mean and variance are the concentration.</summary>
    public static Tensor Gamma(Tensor concentration, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.gamma(x, key, Checked(shape)), concentration);
    }

    /// <summary>Chi-squared with <c>freedom</c> degrees of freedom.</summary>
    public static Tensor ChiSquared(Tensor freedom, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.chiSquared(x, key, Checked(shape)), freedom);
    }

    /// <summary>Beta, between 0 and 1: mean a / (a + b).</summary>
    public static Tensor Beta(Tensor a, Tensor b, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make((x, y) => Nanograd.Random.beta(x, y, key, Checked(shape)), a, b);
    }

    /// <summary>Dirichlet: vectors that add up to 1, for concentrations <c>[..; n]</c>; <c>shape</c> ends with n.</summary>
    public static Tensor Dirichlet(Tensor concentration, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.dirichlet(x, key, Checked(shape)), concentration);
    }

    /// <summary>Student's t with <c>freedom</c> degrees of freedom.</summary>
    public static Tensor StudentT(Tensor freedom, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.studentT(x, key, Checked(shape)), freedom);
    }

    /// <summary>Poisson with a rate (mean and variance), which may be 0: whole numbers as f32.</summary>
    public static Tensor Poisson(Tensor rate, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.poisson(x, key, Checked(shape)), rate);
    }

    /// <summary>Indices (i64) of classes, with probabilities softmax(logits): logits <c>[..; classes]</c>, whose leading axes broadcast to the shape of the result. By Gumbel's maximum.</summary>
    public static Tensor Categorical(Tensor logits, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.categorical(x, key, Checked(shape)), logits);
    }

    /// <summary><c>count</c> indices (i64, <c>[..; count]</c>) of classes with probabilities proportional to <c>weights</c> <c>[..; classes]</c> (PyTorch's multinomial); without replacement all are different.</summary>
    public static Tensor Multinomial(int count, bool replacement, Tensor weights, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.multinomial(count, replacement, x, key), weights);
    }

    /// <summary>Uniform in [low, high), f32. Gradients flow to the bounds.</summary>
    public static Tensor Uniform(Tensor low, Tensor high, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make((x, y) => Nanograd.Random.uniformIn(x, y, key, Checked(shape)), low, high);
    }

    /// <summary>Uniform in [0, 1) of a float type; f64 has 53 random bits.</summary>
    public static Tensor Uniform(int[] shape, DType type, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.uniformOf(type.ToCore(), key, Checked(shape)));
    }

    /// <summary>Normal with a mean and a standard deviation. Gradients flow to both.</summary>
    public static Tensor Normal(Tensor mean, Tensor deviation, int[] shape, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make((x, y) => Nanograd.Random.normalWith(x, y, key, Checked(shape)), mean, deviation);
    }

    /// <summary>Standard normal of a float type; in f64 by inversion of 53 random bits, tails reach 8.2.</summary>
    public static Tensor Normal(int[] shape, DType type, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.normalOf(type.ToCore(), key, Checked(shape)));
    }

    /// <summary>The numbers 0, ..., n - 1 in random order: i64 <c>[n]</c>.</summary>
    public static Tensor Permutation(int n, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return new(Nanograd.Random.permutation(n, key));
    }

    /// <summary>The slices along an axis in random order.</summary>
    public Tensor Shuffle(int dim = 0, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.shuffle(dim, key, x), this);
    }

    /// <summary><c>count</c> slices of x along axis 0, equally likely; without replacement each at most once.</summary>
    public Tensor Choice(int count, bool replacement = true, Generator? generator = null)
    {
        var key = Generator.NextKey(generator);
        return Make(x => Nanograd.Random.choice(count, replacement, key, x), this);
    }
}
