/// Operations of the reference numbers that are losses.
module Nanograd.Models.Tests.OracleLosses

open Nanograd

/// Losses of x against a target.
let private against (f: Arguments -> LossReduction -> Tensor -> Tensor -> Tensor) : Operation =
    single (fun a -> f a a.Reduction (a.Input "x") (a.Input "target"))

let private classes (a: Arguments) : ClassLossOptions =
    { Reduction = a.Reduction
      Weight = a.TryInput "weight"
      IgnoreIndex = a.Int("ignore_index", -100)
      LabelSmoothing = a.Float("label_smoothing", 0.0) }

let private triplet (a: Arguments) =
    Loss.tripletMarginOf
        (a.Float("margin", 1.0))
        (a.Float("p", 2.0))
        (a.Float("eps", 1e-6))
        (a.Bool("swap", false))
        a.Reduction
        (a.Input "a")
        (a.Input "p")
        (a.Input "n")

let private ctc (a: Arguments) =
    Loss.ctcOf
        (a.Int("blank", 0))
        (a.Bool("zero_infinity", false))
        a.Reduction
        (a.Input "log_probs")
        (a.Input "targets")
        (a.Input "input_lengths")
        (a.Input "target_lengths")

let private named: Map<string, Operation> =
    Map
        [ "mse_loss", against (fun _ -> Loss.mseOf)
          "l1_loss", against (fun _ -> Loss.l1Of)
          "huber_loss", against (fun a -> Loss.huberOf (a.Float("delta", 1.0)))
          "smooth_l1_loss", against (fun a -> Loss.smoothL1Of (a.Float("beta", 1.0)))
          "soft_margin_loss", against (fun _ -> Loss.softMarginOf)
          "poisson_nll",
          against (fun a ->
              Loss.poissonNllOf (a.Bool("log_input", true)) (a.Bool("full", false)) (a.Float("eps", 1e-8)))
          "gaussian_nll",
          against (fun a reduction x y ->
              Loss.gaussianNllOf (a.Bool("full", false)) (a.Float("eps", 1e-6)) reduction x y (a.Input "var"))
          "kl_div", against (fun a -> Loss.klDivOf (a.Bool("log_target", false)))
          "bce", against (fun a -> Loss.bceOf (a.TryInput "weight"))
          "bce_with_logits", against (fun a -> Loss.bceWithLogitsWith (a.TryInput "weight") (a.TryInput "pos_weight"))
          "cross_entropy", against (fun a _ -> Loss.crossEntropyWith (classes a))
          "nll_loss", against (fun a _ -> Loss.nllWith (classes a))
          "multi_margin",
          against (fun a -> Loss.multiMarginOf (a.Int("p", 1)) (a.Float("margin", 1.0)) (a.TryInput "weight"))
          "multilabel_margin", against (fun _ -> Loss.multiLabelMarginOf)
          "multilabel_soft_margin", against (fun a -> Loss.multiLabelSoftMarginOf (a.TryInput "weight"))
          "hinge_embedding", against (fun a -> Loss.hingeEmbeddingOf (a.Float("margin", 1.0)))
          "margin_ranking",
          single (fun a ->
              Loss.marginRankingOf (a.Float("margin", 0.0)) a.Reduction (a.Input "a") (a.Input "b") (a.Input "target"))
          "cosine_embedding",
          single (fun a ->
              Loss.cosineEmbeddingOf
                  (a.Float("margin", 0.0))
                  a.Reduction
                  (a.Input "a")
                  (a.Input "b")
                  (a.Input "target"))
          "triplet_margin", single triplet
          "ctc_loss", single ctc ]

/// The operation of this name, if it is a loss; with or without `_loss` behind it.
let tryFind (name: string) : Operation option =
    [ name; name + "_loss"; name.Replace("_loss", "") ] |> List.tryPick (fun n -> Map.tryFind n named)
