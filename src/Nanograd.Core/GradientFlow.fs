namespace Nanograd

open System
open System.Globalization
open System.Text

/// What may be wrong with the gradient of one parameter.
[<RequireQualifiedAccess>]
type FlowFlag =
    /// NaN or infinities in the gradient.
    | NotFinite
    /// The gradient is zero everywhere: nothing flows here.
    | Dead
    /// The mean |gradient| is below 1e-7, or below a millionth of that of the largest.
    | Vanishing
    /// The norm of the gradient is above 1000, or above 100 times that of the weights.
    | Exploding
    /// More than nine tenths of the gradient's elements are exactly zero.
    | Sparse

/// How the gradient reaches one parameter.
type FlowRow =
    {
        /// The parameter's place in the tree: `Blocks.0.Weight`.
        Path: string
        Kind: string
        WeightNorm: float
        GradientNorm: float
        /// Norm of the gradient over norm of the weights.
        Ratio: float
        /// The mean of |gradient|.
        MeanAbsolute: float
        /// Which part of the gradient's elements is exactly zero, 0 to 1.
        Zeros: float
        Flags: FlowFlag list
    }

/// The gradient of every parameter, from the first to the last.
[<StructuredFormatDisplay("{Text}")>]
type GradientFlow =
    { Loss: float
      Rows: FlowRow[] }

    /// True when no parameter has a flag.
    member f.IsHealthy = f.Rows |> Array.forall (fun r -> r.Flags.IsEmpty)

    member f.Text = string f

    override f.ToString() =
        let text = StringBuilder()
        let line (cells: string[]) = text.Append(String.Join("  ", cells).TrimEnd()).Append '\n' |> ignore
        let number (x: float) = x.ToString("0.00e+00", CultureInfo.InvariantCulture)
        let logs = f.Rows |> Array.map (fun r -> Math.Log10 r.MeanAbsolute) |> Array.filter Double.IsFinite
        let lowest = if logs.Length = 0 then 0.0 else min (Array.min logs) (Array.max logs - 1.0)
        let highest = if logs.Length = 0 then 1.0 else Array.max logs
        let bar (r: FlowRow) =
            let x = Math.Log10 r.MeanAbsolute
            if not (Double.IsFinite x) then
                ""
            else
                String('#', 1 + int (Math.Round(23.0 * (x - lowest) / (highest - lowest))))
        let flags (r: FlowRow) =
            String.Join(", ", r.Flags |> List.map (fun x -> (string x).ToLowerInvariant().Replace("notfinite", "NaN")))
        let cells =
            [| [| "parameter"
                  "shape"
                  "|weights|"
                  "|gradient|"
                  "ratio"
                  "mean |g|"
                  "zeros"
                  "mean |g|, log scale"
                  "" |]
               for r in f.Rows do
                   [| r.Path
                      r.Kind
                      number r.WeightNorm
                      number r.GradientNorm
                      number r.Ratio
                      number r.MeanAbsolute
                      (100.0 * r.Zeros).ToString("0", CultureInfo.InvariantCulture) + "%"
                      bar r
                      flags r |] |]
        let widths = Array.init 9 (fun c -> cells |> Array.map (fun row -> row[c].Length) |> Array.max)
        let isText c = c < 2 || c > 6
        for row in cells do
            line (row |> Array.mapi (fun c s -> if isText c then s.PadRight widths[c] else s.PadLeft widths[c]))
        text.Append(
            $"loss {f.Loss.ToString(CultureInfo.InvariantCulture)}; vanishing: mean |g| below 1e-7 or a millionth of the largest; "
        )
        |> ignore
        text
            .Append("exploding: |gradient| above 1000 or above 100 |weights|; dead: all zero; sparse: over 90% zero")
            .ToString()

/// Measuring how gradients flow.
[<RequireQualifiedAccess>]
module internal GradientFlow =
    let private statistics (t: Tensor) =
        let s = Program.storage t
        let mutable squares, sum, zeros, isFinite = 0.0, 0.0, 0, true
        for i in 0 .. s.Length - 1 do
            let x = (Buffers.read s i).Float
            squares <- squares + x * x
            sum <- sum + abs x
            if x = 0.0 then zeros <- zeros + 1
            if not (Double.IsFinite x) then isFinite <- false
        let n = float (max 1 s.Length)
        struct (sqrt squares, sum / n, float zeros / n, isFinite)

    let private row (path: string) (weights: Tensor) (gradient: Tensor) =
        let struct (weightNorm, _, _, _) = statistics weights
        let struct (norm, mean, zeros, isFinite) = statistics gradient
        let ratio = if weightNorm = 0.0 then 0.0 else norm / weightNorm
        let flags =
            if weights.Count = 0 then
                []
            elif not isFinite then
                [ FlowFlag.NotFinite ]
            elif zeros = 1.0 then
                [ FlowFlag.Dead ]
            else
                [ if mean < 1e-7 then FlowFlag.Vanishing
                  if norm > 1000.0 || ratio > 100.0 then FlowFlag.Exploding
                  if zeros > 0.9 then FlowFlag.Sparse ]
        { Path = path
          Kind = Shape.describe weights
          WeightNorm = weightNorm
          GradientNorm = norm
          Ratio = ratio
          MeanAbsolute = mean
          Zeros = zeros
          Flags = flags }

    let measure (loss: 'T -> Tensor) (parameters: 'T) : GradientFlow =
        let value, gradients = valueAndGrad loss parameters
        let weights = Tree.named parameters
        let all = Program.evaluate (Array.concat [ [| value |]; Array.map snd weights; Tree.leaves gradients ])
        let rows =
            weights
            |> Array.mapi (fun i (path, w) -> DType.isFloat w.DType, path, all[1 + i], all[1 + weights.Length + i])
            |> Array.filter (fun (isFloat, _, _, _) -> isFloat)
            |> Array.map (fun (_, path, w, g) -> row path w g)
        let largest = rows |> Array.map (fun r -> r.MeanAbsolute) |> Array.filter Double.IsFinite |> Array.fold max 0.0
        let compared (r: FlowRow) =
            if r.Flags.IsEmpty && r.MeanAbsolute < 1e-6 * largest then { r with Flags = [ FlowFlag.Vanishing ] } else r
        { Loss = (Buffers.read (Program.storage all[0]) 0).Float
          Rows = Array.map compared rows }
