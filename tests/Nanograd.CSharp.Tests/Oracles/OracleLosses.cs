using Nanograd.CSharp;

namespace FacadeTests.Oracles;

/// <summary>Operations of the reference numbers that are losses: through the modules.</summary>
internal static class OracleLosses
{
    private static readonly Dictionary<string, Func<OracleCase, Tensor>> Named = new()
    {
        ["mse_loss"] = c => Against(c, new MSELoss(c.Reduction)),
        ["l1_loss"] = c => Against(c, new L1Loss(c.Reduction)),
        ["huber_loss"] = c => Against(c, new HuberLoss(c.Reduction, c.Float("delta", 1))),
        ["smooth_l1_loss"] = c => Against(c, new SmoothL1Loss(c.Reduction, c.Float("beta", 1))),
        ["soft_margin_loss"] = c => Against(c, new SoftMarginLoss(c.Reduction)),
        ["poisson_nll"] = c => Against(c, new PoissonNLLLoss(c.Bool("log_input", true), c.Bool("full"), c.Float("eps", 1e-8), c.Reduction)),
        ["gaussian_nll"] = c => new GaussianNLLLoss(c.Bool("full"), c.Float("eps", 1e-6), c.Reduction).Forward(c["x"], c["target"], c["var"]),
        ["kl_div"] = c => Against(c, new KLDivLoss(c.Reduction, c.Bool("log_target"))),
        ["bce"] = c => Against(c, new BCELoss(c.TryInput("weight"), c.Reduction)),
        ["bce_with_logits"] = c => Against(c, new BCEWithLogitsLoss(c.TryInput("weight"), c.Reduction, c.TryInput("pos_weight"))),
        ["cross_entropy"] = c =>
            Against(c, new CrossEntropyLoss(c.TryInput("weight"), c.Int("ignore_index", -100), c.Reduction, c.Float("label_smoothing", 0))),
        ["nll_loss"] = c => Against(c, new NLLLoss(c.TryInput("weight"), c.Int("ignore_index", -100), c.Reduction)),
        ["multi_margin"] = c => Against(c, new MultiMarginLoss(c.Int("p", 1), c.Float("margin", 1), c.TryInput("weight"), c.Reduction)),
        ["multilabel_margin"] = c => Against(c, new MultiLabelMarginLoss(c.Reduction)),
        ["multilabel_soft_margin"] = c => Against(c, new MultiLabelSoftMarginLoss(c.TryInput("weight"), c.Reduction)),
        ["hinge_embedding"] = c => Against(c, new HingeEmbeddingLoss(c.Float("margin", 1), c.Reduction)),
        ["margin_ranking"] = c => new MarginRankingLoss(c.Float("margin", 0), c.Reduction).Forward(c["a"], c["b"], c["target"]),
        ["cosine_embedding"] = c => new CosineEmbeddingLoss(c.Float("margin", 0), c.Reduction).Forward(c["a"], c["b"], c["target"]),
        ["triplet_margin"] = c =>
            new TripletMarginLoss(c.Float("margin", 1), c.Float("p", 2), c.Float("eps", 1e-6), c.Bool("swap"), c.Reduction).Forward(c["a"], c["p"], c["n"]),
        ["ctc_loss"] = c => new CTCLoss(c.Int("blank", 0), c.Reduction, c.Bool("zero_infinity"))
            .Forward(c["log_probs"], c["targets"], c["input_lengths"], c["target_lengths"]),
    };

    private static Tensor Against(OracleCase c, Loss loss) => loss.Forward(c["x"], c["target"]);

    /// <summary>The operation of this name, if it is a loss; with or without <c>_loss</c> behind it.</summary>
    public static OracleOperation? TryFind(string name) =>
        new[] { name, name + "_loss", name.Replace("_loss", "", StringComparison.Ordinal) }
            .Select(n => Named.GetValueOrDefault(n)).FirstOrDefault(f => f is not null) is { } found
            ? c => [("output", found(c))]
            : null;
}
