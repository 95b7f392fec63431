using System.Globalization;
using System.Text.RegularExpressions;
using Nanograd.CSharp;

namespace FacadeTests.Oracles;

/// <summary>Operations of the reference numbers that are functions of tensors.</summary>
internal static class OracleFunctions
{
    private static readonly Dictionary<string, Func<Tensor, Tensor>> Plain = new()
    {
        ["erf"] = x => x.Erf(),
        ["erfc"] = x => x.Erfc(),
        ["sin"] = x => x.Sin(),
        ["cos"] = x => x.Cos(),
        ["atan"] = x => x.Atan(),
        ["sinh_small"] = x => (x / 4).Sinh(),
        ["asinh"] = x => x.Asinh(),
        ["exp_small"] = x => (x / 4).Exp(),
        ["expm1_small"] = x => (x / 4).Expm1(),
        ["log1p_abs"] = x => x.Abs().Log1p(),
        ["rsqrt_abs1"] = x => (x.Abs() + 1).Rsqrt(),
        ["square"] = x => x.Square(),
        ["abs"] = x => x.Abs(),
        ["sigmoid"] = F.Sigmoid,
        ["tanh"] = F.Tanh,
        ["relu"] = F.ReLU,
        ["silu"] = F.SiLU,
        ["logsigmoid"] = F.LogSigmoid,
        ["gelu_tanh"] = x => F.GELU(x, "tanh"),
        ["relu6"] = F.ReLU6,
        ["selu"] = F.SELU,
        ["mish"] = F.Mish,
        ["hardsigmoid"] = F.Hardsigmoid,
        ["hardswish"] = F.Hardswish,
        ["tanhshrink"] = F.Tanhshrink,
        ["softsign"] = F.Softsign,
        ["det"] = Linalg.Det,
        ["inv"] = Linalg.Inv,
        ["slogdet"] = x => Linalg.Slogdet(x).LogAbs,
        ["cholesky"] = Linalg.Cholesky,
        ["eigvalsh"] = Linalg.Eigvalsh,
        ["svdvals"] = Linalg.Svdvals,
    };

    private static readonly Dictionary<string, Func<OracleCase, Tensor>> Named = new()
    {
        ["gelu"] = c => F.GELU(c["x"], c.Text("approximate", "none")),
        ["softmax"] = c => F.Softmax(c["x"], Dim(c)),
        ["log_softmax"] = c => F.LogSoftmax(c["x"], Dim(c)),
        ["softmin"] = c => F.Softmin(c["x"], Dim(c)),
        ["glu"] = c => F.GLU(Even(c["x"], Dim(c)), Dim(c)),
        ["hardtanh"] = c => F.Hardtanh(c["x"], c.Float("min_val", -1), c.Float("max_val", 1)),
        ["threshold"] = c => F.Threshold(c["x"], c.Float("threshold", 0.1), c.Float("value", -1)),
        ["logsumexp"] = c => c["x"].LogSumExp(Dim(c)),
        ["cumsum"] = c => c["x"].CumSum(Dim(c)),
        ["cumprod"] = c => c["x"].CumProd(Dim(c)),
        ["max"] = c => c["x"].Max(Dim(c)),
        ["min"] = c => c["x"].Min(Dim(c)),
        ["norm2"] = c => c["x"].Norm(2, [Dim(c)]),
        ["var"] = c => c["x"].Var(Correction(c), [Dim(c)]),
        ["std"] = c => c["x"].Std(Correction(c), [Dim(c)]),
        ["gather"] = c => c["x"].Gather(Dim(c), c["index"]),
        ["scatter_add"] = c => c["x"].ScatterAdd(Dim(c), c["index"], c["src"]),
        ["index_select"] = c => c["x"].IndexSelect(Dim(c), c["index"]),
        ["where"] = c => Tensor.Where(c["mask"], c["a"], c["b"]),
        ["tril"] = c => c["x"].Tril(c.Int("diagonal", 0)),
        ["triu"] = c => c["x"].Triu(c.Int("diagonal", 0)),
        ["einsum"] = c => Tensor.Einsum(c.Text("equation", ""), c.Inputs),
        ["solve"] = c => Linalg.Solve(c["a"], c["b"]),
        ["normalize"] = c => F.Normalize(c["x"], c.Float("p", 2), c.Int("dim", 1), c.Float("eps", 1e-12)),
        ["cosine_similarity"] = c => new CosineSimilarity(c.Int("dim", 1), c.Float("eps", 1e-8)).Forward(c["a"], c["b"]),
        ["pairwise_distance"] = c => new PairwiseDistance(c.Float("p", 2), c.Float("eps", 1e-6), c.Bool("keepdim")).Forward(c["a"], c["b"]),
    };

    /// <summary>Activations with one number: what the attribute is called, and PyTorch's default.</summary>
    private static readonly Dictionary<string, (string[] Attributes, double Default, Func<Tensor, double, Tensor> Function)> Families = new()
    {
        ["elu"] = (["alpha"], 1, F.ELU),
        ["celu"] = (["alpha"], 1, F.CELU),
        ["leaky_relu"] = (["negative_slope", "slope"], 0.01, F.LeakyReLU),
        ["hardshrink"] = (["lambd", "lambda"], 0.5, F.Hardshrink),
        ["softshrink"] = (["lambd", "lambda"], 0.5, F.Softshrink),
    };

    /// <summary>The number in names such as <c>elu_a05</c> (0.5), <c>leaky_relu_02</c> (0.2) and <c>softplus_beta2</c> (2).</summary>
    private static (string Family, double? Number) Parsed(string name)
    {
        var match = Regex.Match(name, @"^(.*?)_(?:a|beta|b|l)?(\d+)$");
        if (!match.Success)
        {
            return (name, null);
        }

        var digits = match.Groups[2].Value;
        return (match.Groups[1].Value, double.Parse(digits.Length > 1 && digits[0] == '0' ? $"0.{digits[1..]}" : digits, CultureInfo.InvariantCulture));
    }

    private static OracleOperation? OfFamily(string name)
    {
        var (family, number) = Families.ContainsKey(name) || name == "softplus" ? (name, null) : Parsed(name);
        if (family == "softplus")
        {
            return c => [("output", F.Softplus(c["x"], c.Float("beta", number ?? 1), c.Float("threshold", 20)))];
        }

        return Families.TryGetValue(family, out var found)
            ? c => [("output", found.Function(c["x"], found.Attributes.Select(c.TryFloat).FirstOrDefault(v => v is not null) ?? number ?? found.Default))]
            : null;
    }

    /// <summary>Without the last element of an axis of odd extent.</summary>
    private static Tensor Even(Tensor x, int dim) => x.Slice(dim, 0, x.Size(dim) / 2 * 2);

    private static int Dim(OracleCase c) => c.Int("dim", -1);

    private static int Correction(OracleCase c) => c.Int("correction", c.Bool("unbiased", true) ? 1 : 0);

    /// <summary>The operation of this name, if it is a function.</summary>
    public static OracleOperation? TryFind(string name)
    {
        if (Plain.TryGetValue(name, out var plain))
        {
            return c => [("output", plain(c["x"]))];
        }

        return name switch
        {
            _ when Named.TryGetValue(name, out var named) => c => [("output", named(c))],
            "topk" => c => Both(c["x"].TopK(c.Int("k", 1), Dim(c), c.Bool("largest", true))),
            "sort" => c => Both(c["x"].Sort(Dim(c), c.Bool("descending"))),
            _ => OfFamily(name),
        };

        static (string, Tensor)[] Both((Tensor Values, Tensor Indices) sorted) => [("values", sorted.Values), ("indices", sorted.Indices)];
    }
}
