namespace Nanograd

/// How much is added around the spatial axes before a convolution.
[<RequireQualifiedAccess>]
type Padding =
    /// So many zeros on either side of each axis.
    | By of int[]
    /// As many as keep the extents (strides must be 1); an odd one goes behind.
    | Same

/// How a kernel slides. Arrays have one entry for each spatial axis, or one for all of them.
type ConvOptions =
    { Stride: int[]
      Padding: Padding
      Dilation: int[]
      Groups: int }

    /// Stride 1, no padding, no dilation, one group.
    static member Default =
        { Stride = [| 1 |]
          Padding = Padding.By [| 0 |]
          Dilation = [| 1 |]
          Groups = 1 }

/// How a transposed convolution spreads its input. Arrays as in ConvOptions.
type ConvTransposeOptions =
    {
        Stride: int[]
        Padding: int[]
        /// Rows added to the end of the result, of the several lengths that the forward convolution would map to this input.
        OutputPadding: int[]
        Dilation: int[]
        Groups: int
    }

    /// Stride 1, no padding, no dilation, one group.
    static member Default =
        { Stride = [| 1 |]
          Padding = [| 0 |]
          OutputPadding = [| 0 |]
          Dilation = [| 1 |]
          Groups = 1 }

/// Convolutions with the arguments and the meaning of PyTorch's `torch.nn.functional`.
[<AutoOpen>]
module Convolutions =
    /// One entry for each of `n` spatial axes.
    let internal spread (op: string) (what: string) (n: int) (values: int[]) (x: Tensor) =
        if values.Length = n then values
        elif values.Length = 1 then Array.create n values[0]
        else Shape.fail op $"{what} must have 1 entry or {n}, not {values.Length}" "" [ x ]

    /// The bias lies along the channels.
    let private withBias op (bias: Tensor option) (y: Tensor) =
        match bias with
        | None -> y
        | Some b ->
            if b.Rank <> 1 || b.Shape[0] <> y.Shape[1] then
                Shape.fail op $"the bias must have one entry for each of the {y.Shape[1]} output channels" "" [ b ]
            y + Op.reshape (Array.init y.Rank (fun i -> if i = 1 then y.Shape[1] else 1)) b

    /// Without a batch axis in front, one is added and taken away again.
    let private batched op (n: int) (x: Tensor) (f: Tensor -> Tensor) =
        if x.Rank = n + 2 then
            f x
        elif x.Rank = n + 1 then
            let y = f (Op.reshape (Array.append [| 1 |] x.Shape) x)
            Op.reshape y.Shape[1..] y
        else
            Shape.fail op $"x must be [batch; channels; {n} spatial axes] or the same without a batch" "" [ x ]

    let private run op (n: int) (o: ConvOptions) (weight: Tensor) (bias: Tensor option) (x: Tensor) =
        if weight.Rank <> n + 2 then
            Shape.fail op $"the weight must be [out; channels / groups; {n} spatial axes]" "" [ x; weight ]
        let stride, dilation = spread op "stride" n o.Stride x, spread op "dilation" n o.Dilation x
        let low, high =
            match o.Padding with
            | Padding.By p -> let p = spread op "padding" n p x in p, p
            | Padding.Same ->
                if Array.exists ((<>) 1) stride then
                    Shape.fail op "padding Same needs strides of 1" "give the padding in numbers" [ x ]
                let total i = dilation[i] * (weight.Shape[i + 2] - 1)
                Array.init n (fun i -> total i / 2), Array.init n (fun i -> total i - total i / 2)
        let c =
            { Strides = stride
              PadLow = low
              PadHigh = high
              LeftDilation = Array.create n 1
              RightDilation = dilation
              Groups = o.Groups }
        batched op n x (fun x -> Op.conv c x weight |> withBias op bias)

    /// <summary>x `[batch; channels; length]` (or without batch) with weight `[out; channels / groups; k]` and bias `[out]`:
    /// `[batch; out; length']`, length' = (length + 2 padding - dilation (k - 1) - 1) / stride + 1. (PyTorch: F.conv1d.)</summary>
    /// <exception cref="T:Nanograd.ShapeException">Shapes or options do not fit.</exception>
    /// <example><code>conv1d ConvOptions.Default (tensor [ [ [ 1.; 10. ] ] ]) None (tensor [ [ 1.; 2.; 3. ] ]) // tensor([[21., 32.]])</code></example>
    let conv1d (o: ConvOptions) (weight: Tensor) (bias: Tensor option) (x: Tensor) : Tensor =
        run "conv1d" 1 o weight bias x

    /// <summary>x `[batch; channels; height; width]` (or without batch) with weight `[out; channels / groups; kh; kw]` and bias
    /// `[out]`: `[batch; out; height'; width']`, each extent as in `conv1d`. (PyTorch: F.conv2d.)</summary>
    /// <exception cref="T:Nanograd.ShapeException">Shapes or options do not fit.</exception>
    /// <example><code>conv2d { ConvOptions.Default with Padding = Padding.Same } (ones [| 1; 1; 2; 2 |]) None (tensor [ [ [ 1.; 2. ]; [ 3.; 4. ] ] ]) // tensor([[[10., 6.], [7., 4.]]])</code></example>
    let conv2d (o: ConvOptions) (weight: Tensor) (bias: Tensor option) (x: Tensor) : Tensor =
        run "conv2d" 2 o weight bias x

    /// <summary>x `[batch; channels; depth; height; width]` (or without batch) with weight `[out; channels / groups; kd; kh; kw]`
    /// and bias `[out]`: `[batch; out; depth'; height'; width']`, each extent as in `conv1d`. (PyTorch: F.conv3d.)</summary>
    /// <exception cref="T:Nanograd.ShapeException">Shapes or options do not fit.</exception>
    /// <example><code>conv3d ConvOptions.Default (ones [| 1; 1; 2; 2; 2 |]) (Some(tensor [ 0.5 ])) (ones [| 1; 2; 2; 2 |]) // tensor([[[[8.5000]]]])</code></example>
    let conv3d (o: ConvOptions) (weight: Tensor) (bias: Tensor option) (x: Tensor) : Tensor =
        run "conv3d" 3 o weight bias x

    /// <summary>The transpose of a convolution with the same options, as a function of its result: x `[batch; channels; spatial...]`
    /// (or without batch), weight `[channels; out / groups; k...]`, bias `[out]`; as many spatial axes as the weight has. Extents
    /// become (extent - 1) stride - 2 padding + dilation (k - 1) + outputPadding + 1. (PyTorch: F.conv_transpose1d, 2d, 3d.)</summary>
    /// <exception cref="T:Nanograd.ShapeException">Shapes or options do not fit.</exception>
    /// <example><code>convTranspose { ConvTransposeOptions.Default with Stride = [| 2 |] } (tensor [ [ [ 1.; 10. ] ] ]) None (tensor [ [ 1.; 2. ] ]) // tensor([[1., 10., 2., 20.]])</code></example>
    let convTranspose (o: ConvTransposeOptions) (weight: Tensor) (bias: Tensor option) (x: Tensor) : Tensor =
        let op, n = "convTranspose", weight.Rank - 2
        if n < 1 then Shape.fail op "the weight must be [channels; out / groups; spatial...]" "" [ x; weight ]
        let stride, dilation = spread op "stride" n o.Stride x, spread op "dilation" n o.Dilation x
        let padding, extra = spread op "padding" n o.Padding x, spread op "outputPadding" n o.OutputPadding x
        if
            Array.exists (fun i -> extra[i] < 0 || (extra[i] >= stride[i] && extra[i] >= dilation[i])) [| 0 .. n - 1 |]
        then
            Shape.fail op "outputPadding must be less than the stride or the dilation" "" [ x; weight ]
        batched op n x (fun x ->
            let channels = weight.Shape[0]
            if o.Groups < 1 || channels % o.Groups <> 0 || x.Shape[1] <> channels then
                Shape.fail op $"x must have the weight's {channels} channels, in {o.Groups} groups" "" [ x; weight ]
            let each, outputs, kernel = channels / o.Groups, weight.Shape[1], weight.Shape[2..]
            let turned =
                weight
                |> Op.reshape (Array.append [| o.Groups; each; outputs |] kernel)
                |> Op.permute (Array.append [| 0; 2; 1 |] [| 3 .. n + 2 |])
                |> Op.reshape (Array.append [| o.Groups * outputs; each |] kernel)
                |> Op.reverse [ 2 .. n + 1 ]
            let low = Array.init n (fun i -> dilation[i] * (kernel[i] - 1) - padding[i])
            let c =
                { Strides = Array.create n 1
                  PadLow = low
                  PadHigh = Array.map2 (+) low extra
                  LeftDilation = stride
                  RightDilation = dilation
                  Groups = o.Groups }
            Op.conv c x turned |> withBias op bias)
