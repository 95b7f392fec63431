namespace Nanograd

open System

/// What stands around the input of a convolution.
[<RequireQualifiedAccess>]
type PaddingMode =
    | Zeros
    /// Mirrored at the border elements, which are not repeated.
    | Reflect
    /// The border elements.
    | Replicate
    /// The other side.
    | Circular

/// A convolution: `Weight [out; in / groups; kernel..]` (transposed: `[in; out / groups; kernel..]`), `Bias [out]`.
[<NoComparison>]
type Conv = { Weight: Tensor; Bias: Tensor option }

/// What the convolution layers share.
[<RequireQualifiedAccess>]
module Conv =
    /// The input with its surroundings, and what is left to pad with zeros.
    let private surrounded name (mode: PaddingMode) (o: ConvOptions) (weight: Tensor) (x: Tensor) =
        let n = weight.Rank - 2
        let entry what (values: int[]) i =
            if values.Length = 1 then values[0]
            elif values.Length = n then values[i]
            else Shape.fail name $"{what} must have 1 entry or {n}, not {values.Length}" "" [ x ]
        let amounts i =
            match o.Padding with
            | Padding.By p -> let p = entry "padding" p i in [ p; p ]
            | Padding.Same ->
                let total = entry "dilation" o.Dilation i * (weight.Shape[i + 2] - 1)
                [ total / 2; total - total / 2 ]
        let pairs () = List.collect amounts [ n - 1 .. -1 .. 0 ]
        let plain = { o with Padding = Padding.By [| 0 |] }
        match mode with
        | PaddingMode.Zeros -> x, o
        | PaddingMode.Reflect -> padReflect (pairs ()) x, plain
        | PaddingMode.Replicate -> padReplicate (pairs ()) x, plain
        | PaddingMode.Circular -> padCircular (pairs ()) x, plain

    let internal run name n conv (o: ConvOptions) (mode: PaddingMode) (p: Conv) (x: Tensor) : Tensor =
        if p.Weight.Rank <> n + 2 || x.Rank < n + 1 then
            Shape.fail name $"x and the weight must have {n} spatial axes" "" [ x; p.Weight ]
        if o.Padding = Padding.Same && Array.exists ((<>) 1) o.Stride then
            Shape.fail name "padding Same needs strides of 1" "give the padding in numbers" [ x ]
        let x, o = surrounded name mode o p.Weight x
        conv o p.Weight p.Bias x

    let internal runTransposed name n (o: ConvTransposeOptions) (p: Conv) (x: Tensor) : Tensor =
        if p.Weight.Rank <> n + 2 || x.Rank < n + 1 then
            Shape.fail name $"x and the weight must have {n} spatial axes" "" [ x; p.Weight ]
        convTranspose o p.Weight p.Bias x

    /// Weight and bias uniform in plus or minus 1/sqrt(fan in), the fan being what PyTorch takes for it: the weight's
    /// elements for an entry of its first axis.
    let internal initShaped (key: Tensor) (shape: int[]) (outputs: int) (bias: bool) : Conv =
        let bound = 1.0 / Math.Sqrt(float (max 1 (Array.fold (*) 1 shape[1..])))
        let uniform n shape = Random.uniform (Random.fold key n) shape * (2.0 * bound) - bound
        { Weight = uniform 0 shape
          Bias = if bias then Some(uniform 1 [| outputs |]) else None }

    let private checkGroups (groups: int) (inputs: int) (outputs: int) =
        if groups < 1 || inputs % groups <> 0 || outputs % groups <> 0 then
            raise (
                ArgumentException
                    $"conv: {inputs} input and {outputs} output channels must both divide into {groups} groups."
            )

    /// PyTorch's start, for a kernel of one entry for each spatial axis.
    let init (key: Tensor) (inputs: int) (outputs: int) (kernel: int[]) (groups: int) (bias: bool) : Conv =
        checkGroups groups inputs outputs
        initShaped key (Array.append [| outputs; inputs / groups |] kernel) outputs bias

    /// PyTorch's start of a transposed convolution.
    let initTransposed (key: Tensor) (inputs: int) (outputs: int) (kernel: int[]) (groups: int) (bias: bool) : Conv =
        checkGroups groups inputs outputs
        initShaped key (Array.append [| inputs; outputs / groups |] kernel) outputs bias

/// Convolution of `[N; C; L]` or `[C; L]`.
[<RequireQualifiedAccess>]
module Conv1d =
    /// x `[N; in; L]` (or `[in; L]`) to `[N; out; L']`.
    let apply (o: ConvOptions) (mode: PaddingMode) (p: Conv) (x: Tensor) : Tensor =
        Conv.run "conv1d" 1 conv1d o mode p x

/// Convolution of `[N; C; H; W]` or `[C; H; W]`.
[<RequireQualifiedAccess>]
module Conv2d =
    /// x `[N; in; H; W]` (or `[in; H; W]`) to `[N; out; H'; W']`.
    let apply (o: ConvOptions) (mode: PaddingMode) (p: Conv) (x: Tensor) : Tensor =
        Conv.run "conv2d" 2 conv2d o mode p x

/// Convolution of `[N; C; D; H; W]` or `[C; D; H; W]`.
[<RequireQualifiedAccess>]
module Conv3d =
    /// x `[N; in; D; H; W]` (or `[in; D; H; W]`) to `[N; out; D'; H'; W']`.
    let apply (o: ConvOptions) (mode: PaddingMode) (p: Conv) (x: Tensor) : Tensor =
        Conv.run "conv3d" 3 conv3d o mode p x

/// Transposed convolution of `[N; C; L]` or `[C; L]`.
[<RequireQualifiedAccess>]
module ConvTranspose1d =
    /// x `[N; in; L]` (or `[in; L]`) to `[N; out; ..]`.
    let apply (o: ConvTransposeOptions) (p: Conv) (x: Tensor) : Tensor = Conv.runTransposed "convTranspose1d" 1 o p x

/// Transposed convolution of `[N; C; H; W]` or `[C; H; W]`.
[<RequireQualifiedAccess>]
module ConvTranspose2d =
    /// x `[N; in; H; W]` (or `[in; H; W]`) to `[N; out; ..]`.
    let apply (o: ConvTransposeOptions) (p: Conv) (x: Tensor) : Tensor = Conv.runTransposed "convTranspose2d" 2 o p x

/// Transposed convolution of `[N; C; D; H; W]` or `[C; D; H; W]`.
[<RequireQualifiedAccess>]
module ConvTranspose3d =
    /// x `[N; in; D; H; W]` (or `[in; D; H; W]`) to `[N; out; ..]`.
    let apply (o: ConvTransposeOptions) (p: Conv) (x: Tensor) : Tensor = Conv.runTransposed "convTranspose3d" 3 o p x

/// Windows as columns, and back: what convolutions are made of.
[<AutoOpen>]
module Columns =
    let private window axis size step dilation : Window = { Axis = axis; Size = size; Step = step; Dilation = dilation }

    let private pairOf name what (values: int[]) (x: Tensor) =
        match values with
        | [| a |] -> a, a
        | [| a; b |] -> a, b
        | _ -> Shape.fail name $"{what} must have 1 entry or 2, not {values.Length}" "" [ x ]

    /// <summary>The windows of a kernel as columns: x `[N; C; H; W]` to `[N; C*kh*kw; windows]`. (PyTorch: F.unfold.)</summary>
    let im2col (kernel: int[]) (stride: int[]) (padding: int[]) (dilation: int[]) (x: Tensor) : Tensor =
        if x.Rank <> 4 then Shape.fail "im2col" "x must be [N,C,H,W]" "" [ x ]
        let pair what values = pairOf "im2col" what values x
        let (kh, kw), (sh, sw) = pair "kernel" kernel, pair "stride" stride
        let (ph, pw), (dh, dw) = pair "padding" padding, pair "dilation" dilation
        let windows =
            pad [ pw; pw; ph; ph ] 0.0 x
            |> Op.unfold (window 2 kh sh dh) // [N; C; rows; W; kh]
            |> Op.unfold (window 3 kw sw dw) // [N; C; rows; columns; kh; kw]
        permute [| 0; 1; 4; 5; 2; 3 |] windows
        |> reshape [| x.Shape[0]; x.Shape[1] * kh * kw; windows.Shape[2] * windows.Shape[3] |]

    /// <summary>Columns `[N; C*kh*kw; windows]` added up where the windows of `im2col` lie in an image of `size [H; W]`: `[N; C;
    /// H; W]`, the adjoint of `im2col`. (PyTorch: F.fold.)</summary>
    let col2im (size: int[]) (kernel: int[]) (stride: int[]) (padding: int[]) (dilation: int[]) (x: Tensor) : Tensor =
        let pair what values = pairOf "col2im" what values x
        let (h, w), (kh, kw), (sh, sw) = pair "size" size, pair "kernel" kernel, pair "stride" stride
        let (ph, pw), (dh, dw) = pair "padding" padding, pair "dilation" dilation
        let places extent k s p d = (extent + 2 * p - d * (k - 1) - 1) / s + 1
        let rows, columns = places h kh sh ph dh, places w kw sw pw dw
        if x.Rank <> 3 || x.Shape[1] % (kh * kw) <> 0 || x.Shape[2] <> rows * columns then
            Shape.fail "col2im" $"x must be [N,C*{kh}*{kw},{rows}*{columns}]" "" [ x ]
        reshape [| x.Shape[0]; x.Shape[1] / (kh * kw); kh; kw; rows; columns |] x
        |> permute [| 0; 1; 4; 5; 2; 3 |]
        |> Op.fold (window 3 kw sw dw) (w + 2 * pw)
        |> Op.fold (window 2 kh sh dh) (h + 2 * ph)
        |> slice 2 ph (ph + h)
        |> slice 3 pw (pw + w)

/// Rearranging channels and space.
[<AutoOpen>]
module Shuffles =
    let private leading n (x: Tensor) = x.Shape[.. x.Rank - 1 - n]

    /// <summary>Channels as finer pixels: `[..; C*r*r; H; W]` to `[..; C; H*r; W*r]` (Shi et al. 2016).</summary>
    let pixelShuffle (r: int) (x: Tensor) : Tensor =
        if r < 1 || x.Rank < 3 || x.Shape[x.Rank - 3] % (r * r) <> 0 then
            Shape.fail "pixelShuffle" $"x must be [..,C,H,W] with channels that divide by {r} squared" "" [ x ]
        let n, lead = x.Rank - 3, leading 3 x
        let c, h, w = x.Shape[n] / (r * r), x.Shape[n + 1], x.Shape[n + 2]
        reshape (Array.append lead [| c; r; r; h; w |]) x
        |> permute (Array.append [| 0 .. n - 1 |] (Array.map ((+) n) [| 0; 3; 1; 4; 2 |]))
        |> reshape (Array.append lead [| c; h * r; w * r |])

    /// <summary>Pixels as channels: `[..; C; H*r; W*r]` to `[..; C*r*r; H; W]`, the inverse of `pixelShuffle`.</summary>
    let pixelUnshuffle (r: int) (x: Tensor) : Tensor =
        if r < 1 || x.Rank < 3 || x.Shape[x.Rank - 2] % r <> 0 || x.Shape[x.Rank - 1] % r <> 0 then
            Shape.fail "pixelUnshuffle" $"x must be [..,C,H,W] with a height and width that divide by {r}" "" [ x ]
        let n, lead = x.Rank - 3, leading 3 x
        let c, h, w = x.Shape[n], x.Shape[n + 1] / r, x.Shape[n + 2] / r
        reshape (Array.append lead [| c; h; r; w; r |]) x
        |> permute (Array.append [| 0 .. n - 1 |] (Array.map ((+) n) [| 0; 2; 4; 1; 3 |]))
        |> reshape (Array.append lead [| c * r * r; h; w |])

    /// <summary>Channels dealt out anew: those of `[N; C; ..]` as a table with `groups` rows, read by columns (Zhang et al.
    /// 2017).</summary>
    let channelShuffle (groups: int) (x: Tensor) : Tensor =
        if groups < 1 || x.Rank < 2 || x.Shape[1] % groups <> 0 then
            Shape.fail "channelShuffle" $"x must be [N,C,..] with channels that divide into {groups} groups" "" [ x ]
        let rest = x.Count / max 1 (x.Shape[0] * x.Shape[1])
        reshape [| x.Shape[0]; groups; x.Shape[1] / groups; rest |] x |> permute [| 0; 2; 1; 3 |] |> reshape x.Shape

    /// <summary>The p-norm of every window over the last axes, of the powers themselves, signs included: (sum x^p)^(1/p), 0
    /// where the sum is not positive. (PyTorch: LPPool1d, 2d, 3d.)</summary>
    let lpPool (p: float) (o: PoolOptions) (x: Tensor) : Tensor =
        let count = Array.fold (*) 1 o.Size
        let sums = avgPool { o with CountIncludePad = true } (x ** p) * float count
        let positive = gt sums (zerosLike sums)
        where positive (where positive sums (onesLike sums) ** (1.0 / p)) (zerosLike sums)
