/// Layers: laws, closed forms, names and errors. (Numbers: OracleTests.)
module Nanograd.Models.Tests.NnTests

open System
open NUnit.Framework
open Nanograd

let private some (seed: int64) (shape: int[]) = Random.normalOf DType.F64 (Random.key seed) shape |> eval
let private same (what: string) (expected: Tensor) (actual: Tensor) =
    Assert.That(actual.Shape, Is.EqualTo<int[]> expected.Shape, what)
    assertClose 1e-9 what (floats expected) (floats actual)
let private wide (model: 'T) : 'T = Tree.map (cast DType.F64) model |> eval

// ---- recurrent networks

let private recurrentOptions = { RecurrentOptions.Of(3, 4) with NumLayers = 2; Bidirectional = true }

[<Test>]
let ``recurrent networks have PyTorch's names and shapes`` () =
    let o = { recurrentOptions with ProjSize = 2 }
    let p = LSTM.init (Random.key 1L) o
    let described = StateDict.named p |> Array.map (fun (n, t) -> n + Shape.show t.Shape)
    let expected =
        [| for suffix, input in [ "l0", 3; "l0_reverse", 3; "l1", 4; "l1_reverse", 4 ] do
               $"weight_ih_{suffix}[16,{input}]"
               $"weight_hh_{suffix}[16,2]"
               $"bias_ih_{suffix}[16]"
               $"bias_hh_{suffix}[16]"
               $"weight_hr_{suffix}[2,4]" |]
    Assert.That(described, Is.EqualTo<string[]> expected)

[<Test>]
let ``padded sequences give what each gives alone`` () =
    let o = { recurrentOptions with BatchFirst = true }
    let x = some 2L [| 3; 5; 3 |]
    let lengths = [ 5; 2; 4 ]
    let compare' (run: Tensor option -> Tensor -> Tensor * Tensor list) =
        let y, lasts = run (Some(i32 [ 3 ] lengths)) x
        for n in 0..2 do
            let alone, ends = run None (slice 0 n (n + 1) x |> slice 1 0 lengths[n])
            let row t = slice 0 n (n + 1) t
            same "outputs" alone (row y |> slice 1 0 lengths[n])
            Assert.That(floats (row y |> slice 1 lengths[n] 5), Is.All.EqualTo 0.0)
            List.iter2 (fun e l -> same "state" e (slice 1 n (n + 1) l)) ends lasts
    let lstm = LSTM.init (Random.key 3L) o |> wide
    compare' (fun lengths x -> let y, (h, c) = LSTM.apply o lstm None None lengths x in y, [ h; c ])
    let gru = GRU.init (Random.key 4L) o |> wide
    compare' (fun lengths x -> let y, h = GRU.apply o gru None None lengths x in y, [ h ])
    let rnn = RNN.init (Random.key 5L) o |> wide
    compare' (fun lengths x -> let y, h = RNN.apply Nonlinearity.Tanh o rnn None None lengths x in y, [ h ])

[<Test>]
let ``a layer is its cell step by step, and may go without a batch`` () =
    let o = { RecurrentOptions.Of(3, 4) with ProjSize = 2 }
    let p = LSTM.init (Random.key 6L) o |> wide
    let x = some 7L [| 4; 3 |]
    let start = zerosOf DType.F64 [| 2 |], zerosOf DType.F64 [| 4 |]
    let step (h, c) t = LSTMCell.apply p.Layers[0].Forward (h, c) (select 0 t x)
    let states = List.scan step start [ 0..3 ]
    let y, (h, c) = LSTM.apply o p None None None x
    same "outputs" (stack 0 (List.tail states |> List.map fst)) y
    same "h" (fst (List.last states) |> unsqueeze 0) h
    same "c" (snd (List.last states) |> unsqueeze 0) c

[<Test>]
let ``what does not fit a recurrent network is said`` () =
    let o = RecurrentOptions.Of(3, 4)
    let p = GRU.init (Random.key 1L) o
    let run lengths x = GRU.apply o p None None lengths x |> ignore
    raises<ShapeException> [ "gru"; "[T,B,3]"; "f32[2,1,5]" ] (fun () -> run None (zeros [| 2; 1; 5 |]))
    raises<ShapeException> [ "at least one step" ] (fun () -> run None (zeros [| 0; 1; 3 |]))
    raises<ShapeException> [ "lengths must be between 1 and the 2 steps, not 3" ] (fun () ->
        run (Some(i32 [ 1 ] [ 3 ])) (zeros [| 2; 1; 3 |]))
    raises<ArgumentException> [ "projection" ] (fun () -> LSTM.init (Random.key 1L) { o with ProjSize = 4 } |> ignore)

[<Test>]
let ``a state dictionary is loaded by name, and all that is wrong with it is listed`` () =
    let p = GRU.init (Random.key 1L) (RecurrentOptions.Of(3, 4))
    let tensors = StateDict.named p |> Array.map (fun (n, t) -> n, t * 2.0)
    same "loaded" (p.Layers[0].Forward.WeightIh * 2.0) (StateDict.load tensors p).Layers[0].Forward.WeightIh
    let wrong =
        tensors
        |> Array.map (fun (n, t) ->
            if n = "bias_ih_l0" then "bias_l0", t
            elif n = "bias_hh_l0" then n, zeros [| 5 |]
            else n, t)
    raises<ArgumentException> [ "missing: bias_ih_l0"; "unknown: bias_l0"; "bias_hh_l0 f32[5] for f32[12]" ] (fun () ->
        StateDict.load wrong p |> ignore)

// ---- norms

[<Test>]
let ``batch norm gives mean 0 and variance 1, and keeps running statistics`` () =
    let p = BatchNorm.init 3
    let batches = [ for n in 1L .. 10L -> some n [| 8; 3; 2; 5 |] * 3.0 + 1.0 |> eval ]
    let state = BatchNorm.state 3 |> Tree.map (fun t -> if DType.isFloat t.DType then cast DType.F64 t else t)
    let train o s x = BatchNorm2d.train o p (Some s) x |> snd |> Option.get
    let y = BatchNorm2d.train BatchNormOptions.Default p None batches[0] |> fst
    assertClose 1e-12 "mean" [| 1.0; 1.0; 1.0 |] (floats (meanOver [ 0; 2; 3 ] y + 1.0))
    assertClose 1e-4 "variance" [| 1.0; 1.0; 1.0 |] (floats (varOver 0 [ 0; 2; 3 ] y))
    let average = List.fold (train { BatchNormOptions.Default with Momentum = None }) state batches
    let means (f: Tensor -> Tensor) = (batches |> List.map f |> List.reduce (+)) / 10.0
    same "average of means" (means (meanOver [ 0; 2; 3 ])) average.RunningMean
    same "average of variances" (means (varOver 1 [ 0; 2; 3 ])) average.RunningVar
    Assert.That(item average.NumBatchesTracked, Is.EqualTo 10.0)
    let running = List.fold (train BatchNormOptions.Default) state batches
    let expected = batches |> List.fold (fun m b -> m * 0.9 + meanOver [ 0; 2; 3 ] b * 0.1) (zerosOf DType.F64 [| 3 |])
    same "momentum" expected running.RunningMean

[<Test>]
let ``batch norm cannot train on one value, and knows its ranks`` () =
    let p = BatchNorm.init 3
    raises<ShapeException> [ "batchNorm"; "more than one value for each channel, not 1"; "f32[1,3]" ] (fun () ->
        BatchNorm1d.train BatchNormOptions.Default p None (zeros [| 1; 3 |]) |> ignore)
    raises<ShapeException> [ "x must be [N,C,d,d]" ] (fun () ->
        BatchNorm2d.evaluate BatchNormOptions.Default p (BatchNorm.state 3) (zeros [| 2; 3 |]) |> ignore)
    raises<ShapeException> [ "2 channels" ] (fun () ->
        BatchNorm1d.evaluate BatchNormOptions.Default p (BatchNorm.state 3) (zeros [| 2; 2 |]) |> ignore)

[<Test>]
let ``instance norm averages its statistics over the batch`` () =
    let x = some 1L [| 4; 3; 6 |]
    let state = BatchNorm.state 3 |> Tree.map (fun t -> if DType.isFloat t.DType then cast DType.F64 t else t)
    let o = { BatchNormOptions.Default with Momentum = Some 0.25 }
    let y, next = InstanceNorm.train o (InstanceNorm.init ()) state x
    same "output" (InstanceNorm.apply 1e-5 (InstanceNorm.init ()) x) y
    same "mean" (meanOver [ 0; 2 ] x * 0.25) next.RunningMean
    same "variance" (meanOver [ 0 ] (varOver 1 [ 2 ] x) * 0.25 + 0.75) next.RunningVar

[<Test>]
let ``norms agree where they mean the same`` () =
    let x = some 1L [| 4; 6; 5 |]
    let none: ChannelNorm = { Weight = None; Bias = None }
    same "group of all" (LayerNorm.normalise 1e-5 2 x) (GroupNorm.apply 1e-5 1 none x)
    same "groups of one" (LayerNorm.normalise 1e-5 1 x) (InstanceNorm.apply 1e-5 none x)
    let y = RMSNorm.apply 0.0 { Weight = None } x
    assertClose 1e-12 "root mean square" (Array.create 24 1.0) (floats (meanOver [ -1 ] (square y)))
    raises<ShapeException> [ "groupNorm"; "4 groups" ] (fun () -> GroupNorm.apply 1e-5 4 none x |> ignore)

[<Test>]
let ``weight norm takes apart and puts together, spectral norm has norm 1`` () =
    let w = some 3L [| 5; 4; 3 |]
    let names = StateDict.named {| Weight = WeightNorm.ofWeight (Some 0) w |} |> Array.map fst
    Assert.That(names, Is.EqualTo<string[]> [| "weight_g"; "weight_v" |])
    for axis in [ Some 0; Some 1; None ] do
        same "whole" w (WeightNorm.weight axis (WeightNorm.ofWeight axis w))
    let state = SpectralNorm.init (Random.key 4L) 0 w |> wide |> SpectralNorm.iterate 200 1e-12 0 w
    let normed = SpectralNorm.weight 0 state w |> reshape [| 5; 12 |]
    Assert.That(item (maxAll (Linalg.svdvals normed)), Is.EqualTo(1.0).Within 1e-6)

// ---- convolutions, rearrangement, lookups

[<Test>]
let ``padding modes of convolutions are padding before them`` () =
    let p: Conv = { Weight = some 1L [| 4; 2; 3; 2 |]; Bias = Some(some 2L [| 4 |]) }
    let x = some 3L [| 2; 4; 6; 7 |]
    let o: ConvOptions = { Stride = [| 1 |]; Padding = Padding.Same; Dilation = [| 2; 1 |]; Groups = 2 }
    let plain = { o with Padding = Padding.By [| 0 |] }
    let expect mode padded = same (string mode) (conv2d plain p.Weight p.Bias padded) (Conv2d.apply o mode p x)
    expect PaddingMode.Zeros (pad [ 0; 1; 2; 2 ] 0.0 x)
    expect PaddingMode.Reflect (padReflect [ 0; 1; 2; 2 ] x)
    expect PaddingMode.Replicate (padReplicate [ 0; 1; 2; 2 ] x)
    expect PaddingMode.Circular (padCircular [ 0; 1; 2; 2 ] x)
    raises<ShapeException> [ "conv2d"; "strides of 1" ] (fun () ->
        Conv2d.apply { o with Stride = [| 2 |] } PaddingMode.Circular p x |> ignore)
    raises<ArgumentException> [ "divide into 2 groups" ] (fun () ->
        Conv.init (Random.key 1L) 3 4 [| 3 |] 2 true |> ignore)

[<Test>]
let ``a transposed convolution is the adjoint of the convolution`` () =
    let w = some 1L [| 4; 3; 3; 2 |]
    let o =
        { ConvOptions.Default with
            Stride = [| 2; 1 |]
            Padding = Padding.By [| 1; 0 |] }
    let x = some 2L [| 2; 3; 5; 6 |]
    let y = some 3L (conv2d o w None x).Shape
    let t = { ConvTransposeOptions.Default with Stride = [| 2; 1 |]; Padding = [| 1; 0 |] }
    let back = ConvTranspose2d.apply t { Weight = w; Bias = None } y
    Assert.That(item (sum (back * x)), Is.EqualTo(item (sum (conv2d o w None x * y))).Within 1e-9)

[<Test>]
let ``columns, pixels and channels go there and back`` () =
    let x = some 1L [| 2; 3; 5; 6 |]
    let kernel, stride, padding, dilation = [| 2; 3 |], [| 2; 1 |], [| 1; 0 |], [| 1; 2 |]
    let columns = im2col kernel stride padding dilation x
    let c = some 2L columns.Shape
    let back = col2im [| 5; 6 |] kernel stride padding dilation c
    Assert.That(item (sum (columns * c)), Is.EqualTo(item (sum (back * x))).Within 1e-9)
    let y = some 3L [| 2; 12; 3; 4 |]
    same "pixels" y (pixelUnshuffle 2 (pixelShuffle 2 y))
    same "channels" y (channelShuffle 4 (channelShuffle 3 y))
    raises<ShapeException> [ "pixelShuffle"; "divide by 5 squared" ] (fun () -> pixelShuffle 5 y |> ignore)

[<Test>]
let ``bags as rows are bags by offsets, without what is padding`` () =
    let p: Embedding = { Weight = some 1L [| 7; 3 |] }
    let rows = i32 [ 2; 3 ] [ 1; 4; 2; 6; 2; 2 ]
    for mode in [ BagMode.Sum; BagMode.Mean; BagMode.Max ] do
        let byRows = EmbeddingBag.apply mode (Some 2) p None None rows
        let byOffsets = EmbeddingBag.apply mode (Some 2) p (Some(i32 [ 3 ] [ 0; 3; 6 ])) None (flatten rows |> eval)
        same "from the end" byRows (EmbeddingBag.apply mode (Some -5) p None None rows)
        same (string mode) (concat 0 [ byRows; zerosOf DType.F64 [| 1; 3 |] ]) byOffsets
    let weights = some 2L [| 2; 3 |]
    let weighted = EmbeddingBag.apply BagMode.Sum None p None (Some weights) rows
    same "weighted" (einsum "bl,bld->bd" [ weights; take 0 rows p.Weight ]) weighted
    raises<ShapeException> [ "offsets must begin with 0 and not decrease, up to the 3 ids" ] (fun () ->
        EmbeddingBag.apply BagMode.Sum None p (Some(i32 [ 2 ] [ 0; 4 ])) None (i32 [ 3 ] [ 1; 2; 3 ]) |> ignore)
    raises<IndexException> [ "embeddingBag"; "index 9" ] (fun () ->
        EmbeddingBag.apply BagMode.Sum None p None None (i32 [ 1; 1 ] [ 9 ]) |> ignore)

// ---- dropout, initialisers, adapters

[<Test>]
let ``dropouts keep the mean, and SELU's the variance, too`` () =
    let x = ones [| 4000; 5; 2; 2 |]
    let key = Random.key 5L
    let mean' (name: string) y = Assert.That(item (mean y), Is.EqualTo(1.0).Within 0.02, name)
    mean' "2d" (Dropout2d.apply 0.3 key x)
    mean' "path" (DropPath.apply 0.3 key x)
    let whole = Dropout2d.apply 0.3 key x |> amax [ 2; 3 ]
    same "whole channels" whole (Dropout2d.apply 0.3 key x |> amin [ 2; 3 ])
    let normal = Random.normal (Random.key 6L) [| 100000 |]
    let y = AlphaDropout.apply 0.2 key normal
    Assert.That(item (mean y), Is.EqualTo(0.0).Within 0.02)
    Assert.That(item (var y), Is.EqualTo(1.0).Within 0.03)
    Assert.That(FeatureAlphaDropout.apply 0.0 key x, Is.SameAs x)
    raises<ArgumentException> [ "dropPath"; "between 0 and 1" ] (fun () -> DropPath.apply 2.0 key x |> ignore)

[<Test>]
let ``initialisers have the variances of their formulas`` () =
    let key, shape = Random.key 7L, [| 200; 50; 3; 2 |]
    let deviation (t: Tensor) = item (std t)
    let expect (name: string) (expected: float) t =
        Assert.That(deviation t, Is.EqualTo(expected).Within(0.02 * expected), name)
    expect "xavier uniform" (Math.Sqrt(2.0 / 1500.0)) (Init.xavierUniform 1.0 key shape)
    expect "xavier normal" (2.0 * Math.Sqrt(2.0 / 1500.0)) (Init.xavierNormal 2.0 key shape)
    expect "kaiming uniform" (Math.Sqrt(2.0 / 300.0)) (Init.kaimingUniform Fan.In GainOf.Relu key shape)
    expect "kaiming normal" (Math.Sqrt(1.0 / 1200.0)) (Init.kaimingNormal Fan.Out GainOf.Linear key shape)
    let q = Init.orthogonal 2.0 key [| 6; 4; 5 |] |> reshape [| 6; 20 |]
    assertClose 1e-5 "orthogonal" (floats (eye 6 * 4.0)) (floats (matmul q (transpose q)))
    let sparse = Init.sparse 0.3 1.0 key [| 10; 4 |]
    Assert.That(floats (sumOver [ 0 ] (eq sparse (zerosLike sparse) |> cast DType.F32)), Is.All.EqualTo 3.0)
    let x = Random.normal key [| 1; 4; 5; 5 |]
    let o = { ConvOptions.Default with Padding = Padding.Same; Groups = 2 }
    same "dirac" x (conv2d o (Init.dirac 2 [| 4; 2; 3; 3 |]) None x)
    raises<ShapeException> [ "init"; "two axes" ] (fun () -> Init.xavierNormal 1.0 key [| 3 |] |> ignore)

[<Test>]
let ``LoRA changes nothing at first, and is merged into the layer`` () =
    let layer = Linear.init (Random.key 1L) 5 4 true |> wide
    let p = LoRA.init (Random.key 2L) 5 4 2 |> wide
    let x = some 3L [| 3; 5 |]
    same "start" (Linear.apply layer x) (LoRA.apply 8.0 0.0 None p layer x)
    let p = { p with B = some 4L [| 4; 2 |] }
    same "merged" (LoRA.apply 8.0 0.0 None p layer x) (Linear.apply (LoRA.merge 8.0 p layer) x)
    let gradient = grad (fun layer -> sum (LoRA.apply 8.0 0.0 None p layer x)) layer
    Assert.That(floats gradient.Weight, Is.All.EqualTo 0.0)

[<Test>]
let ``a mixture with all experts is their weighted sum, and capacity leaves the last out`` () =
    let p = MixtureOfExperts.init (Random.key 1L) 3 4 6 |> wide
    let x = some 2L [| 5; 4 |]
    let expert e =
        Linear.compute (select 0 e p.W1) (Some(select 0 e p.B1)) x
        |> gelu
        |> Linear.compute (select 0 e p.W2) (Some(select 0 e p.B2))
    let gates = softmax -1 (Linear.apply p.Router x)
    let expected = [ 0..2 ] |> List.map (fun e -> slice 1 e (e + 1) gates * expert e) |> List.reduce (+)
    let y, balance = MixtureOfExperts.apply { MixtureOptions.Default with TopK = 3 } p x
    same "dense" expected y
    Assert.That(item balance, Is.EqualTo(1.0).Within 1e-9)
    let one = { MixtureOptions.Default with TopK = 1; CapacityFactor = Some 0.2 }
    let y, _ = MixtureOfExperts.apply one p (concat 0 [ x; x ])
    let served = floats (anyOver [ 1 ] (ne y (zerosLike y)) |> cast DType.F64) |> Array.sum
    Assert.That(served, Is.InRange(1.0, 3.0))

// ---- composition

[<Test>]
let ``layers compose: parameters are a pair, keys are apart, functions have none`` () =
    let hidden, out = Layer.linear 3 4, Layer.linear 4 2
    let net = hidden >-> relu >-> Layer.dropout 0.5 >-> out
    let p = Layer.init (Random.key 1L) net
    let (first, ()), last = p
    let x = Random.normal (Random.key 2L) [| 5; 3 |]
    assertClose 1e-7 "net" (floats (Linear.apply last (relu (Linear.apply first x)))) (floats (Layer.apply net p x))
    Assert.That(Tree.count p, Is.EqualTo(4L * 3L + 4L + 2L * 4L + 2L))
    let trained = Layer.train net (Random.key 3L) p x
    Assert.That(floats trained, Is.Not.EqualTo(box (floats (Layer.apply net p x))))
    Assert.That(floats (Layer.train net (Random.key 3L) p x), Is.EqualTo(box (floats trained)))
    let halved = Tree.map (fun t -> t * 0.5) p
    assertClose 1e-7 "map" (floats last.Weight |> Array.map (fun w -> w / 2.0)) (floats (snd halved).Weight)

[<Test>]
let ``repeated layers have parameters of their own, a function may come first`` () =
    let tower = flattenAxes 1 -1 >-> Layer.repeat 3 (Layer.residual (Layer.linear 6 6 >-> tanh)) >-> Layer.layerNorm 6
    let (blocks, norm) = Layer.init (Random.key 1L) tower
    Assert.That(blocks.Length, Is.EqualTo 3)
    Assert.That(blocks |> Array.map (fun b -> item (sum b.Weight)) |> Array.distinct |> Array.length, Is.EqualTo 3)
    let x = Random.normal (Random.key 2L) [| 4; 2; 3 |]
    let byHand = (reshape [| 4; 6 |] x, blocks) ||> Array.fold (fun x b -> x + tanh (Linear.apply b x))
    assertClose 1e-6 "tower" (floats (LayerNorm.apply norm byHand)) (floats (Layer.apply tower (blocks, norm) x))

[<Test>]
let ``a composed network learns`` () =
    let net = Layer.conv2d ConvOptions.Default 1 3 [| 2; 2 |] >-> relu >-> flattenAxes 1 -1 >-> Layer.linear 12 1
    let x = Random.normal (Random.key 1L) [| 32; 1; 3; 3 |]
    let y = sumOver [ 1; 2; 3 ] x
    let loss p = mean (square (squeeze 1 (Layer.apply net p x) - y))
    let step = jit (fun p -> Tree.map2 (fun (w: Tensor) g -> w - 0.05 * g) p (grad loss p))
    let start = eval (Layer.init (Random.key 2L) net)
    let trained = Seq.fold (fun p _ -> step p) start (seq { 1..200 })
    Assert.That(item (loss trained), Is.LessThan(0.1 * item (loss start)))
