/// ResNet-18 as torchvision builds it, on 8 images of 3 x 224 x 224, NCHW.
module Nanograd.Bench.Cases.Resnet

open System
open System.Collections.Generic
open Nanograd
open Nanograd.Bench
open Nanograd.Bench.Make

/// A convolution without bias, and the scale and shift of the batch norm behind it.
[<NoComparison>]
type private Layer = { Filter: Tensor; Scale: Tensor; Shift: Tensor }

[<NoComparison>]
type private Block = { First: Layer; Second: Layer; Shortcut: Layer option }

[<NoComparison>]
type private Net = { Stem: Layer; Blocks: Block[]; Head: Linear }

/// What a batch norm remembers.
[<NoComparison>]
type private Statistics = { Mean: Tensor; Variance: Tensor }

let private rows, eps, momentum = 8, 1e-5, 0.1

/// Inputs, outputs and stride of the eight blocks.
let private shapes =
    [| 64, 64, 1; 64, 64, 1; 64, 128, 2; 128, 128, 1; 128, 256, 2; 256, 256, 1; 256, 512, 2; 512, 512, 1 |]

let private init () : Net * Statistics[] =
    let running = List<Statistics>()
    let mutable used = 10L
    let normal shape =
        used <- used + 1L
        Random.normal (Random.key used) shape
    let layer inputs outputs size : Layer =
        running.Add
            { Mean = 0.1 * normal [| outputs |]
              Variance = exp (0.1 * normal [| outputs |]) }
        { Filter = normal [| outputs; inputs; size; size |] * Math.Sqrt(2.0 / float (outputs * size * size))
          Scale = 1.0 + 0.1 * normal [| outputs |]
          Shift = 0.1 * normal [| outputs |] }
    let block (inputs, outputs, stride) : Block =
        let first = layer inputs outputs 3
        let second = layer outputs outputs 3
        { First = first
          Second = second
          Shortcut = if stride = 1 then None else Some(layer inputs outputs 1) }
    let stem = layer 3 64 7
    let net = { Stem = stem; Blocks = Array.map block shapes; Head = linear 0 512 1000 }
    eval (net, running.ToArray())

/// One number for each channel.
let private ofChannels (t: Tensor) = reshape [| t.Count; 1; 1 |] t

/// A batch norm: its layer and the result of the convolution.
type private Norm = Layer -> Tensor -> Tensor

let private forward (norm: unit -> Norm) (net: Net) (x: Tensor) : Tensor =
    let norm = norm ()
    let conv stride (l: Layer) x =
        let size = l.Filter.Shape[2]
        let options =
            { ConvOptions.Default with
                Stride = [| stride |]
                Padding = Padding.By [| size / 2 |] }
        norm l (conv2d options l.Filter None x)
    let pool = { PoolOptions.Of [| 3; 3 |] with Stride = [| 2 |]; Padding = [| 1 |] }
    let block x (b: Block, (_, _, stride)) =
        let y = x |> conv stride b.First |> relu |> conv 1 b.Second
        let straight =
            match b.Shortcut with
            | Some l -> conv stride l x
            | None -> x
        relu (y + straight)
    let stem = x |> conv 2 net.Stem |> relu |> maxPool pool
    Array.fold block stem (Array.zip net.Blocks shapes) |> meanOver [ 2; 3 ] |> Linear.apply net.Head

/// By what was remembered.
let private remembered (running: Statistics[]) () : Norm =
    let mutable next = 0
    fun l x ->
        let s = running[next]
        next <- next + 1
        let factor = l.Scale * rsqrt (s.Variance + eps)
        (x - ofChannels s.Mean) * ofChannels factor + ofChannels l.Shift

/// By the batch itself; `seen` gets what a batch norm then remembers, the variance not the population's.
let private ofBatch (seen: List<Statistics>) () : Norm =
    fun l x ->
        let axes = [ 0; 2; 3 ]
        let mean = meanKeep axes x
        let centred = x - mean
        let variance = meanKeep axes (square centred)
        let n = float (x.Count / x.Shape[1])
        let flat t = reshape [| x.Shape[1] |] t
        seen.Add { Mean = flat mean; Variance = flat variance * (n / (n - 1.0)) }
        centred * rsqrt (variance + eps) * ofChannels l.Scale + ofChannels l.Shift

let private images () = normal 2L [| rows; 3; 224; 224 |]

/// Convolutions and the head, forward.
let private flop = float rows * 2.0 * 1.8141e9

let private evaluation name config =
    arithmetic name config flop (fun () ->
        let net, running = init ()
        ofFunction (fun (net, running, x) -> forward (remembered running) net x) (net, running, images ()))

/// Everything that training changes.
[<NoComparison>]
type private State = { Net: Net; Momenta: OptimizerState; Step: Tensor; Running: Statistics[] }

let private optimizer = Optim.sgd { Optim.sgdDefaults with Momentum = 0.9 }

let private step (s: State) (x: Tensor, y: Tensor) =
    let loss net = Loss.crossEntropy (forward (ofBatch (List())) net x) y
    let value, gradient = valueAndGrad loss s.Net
    let seen = List()
    forward (ofBatch seen) s.Net x |> ignore // the same expressions once more: they are computed once
    let context = UpdateContext.Of(s.Step, cast x.DType (scalar 0.1))
    let net, momenta = Optim.update optimizer context gradient s.Momenta s.Net
    let remember old latest = Tree.map2 (fun o l -> o * (1.0 - momentum) + l * momentum) old latest
    { Net = net
      Momenta = momenta
      Step = s.Step + 1
      Running = Array.map2 remember s.Running (seen.ToArray()) },
    value

let private start net running : State =
    { Net = net
      Momenta = Optim.init optimizer net
      Step = zerosOf DType.I32 [||]
      Running = running }

/// Of the step that is timed, what depends continuously on rounding: the loss and what the norms remember. The gradients do not:
/// among ten million inputs of ReLUs some lie within their own rounding of zero, and whether one counts changes all layers below
/// it by a hundredth. They, and the parameters after the step, are compared in double precision.
let private training =
    let shown (s: State, value: Tensor) = Array.append [| value |] (Tree.leaves s.Running)
    let exactly net running (x, y) () =
        let toDouble tree = Tree.map (cast DType.F64) tree
        let s, value = jit2 step (start (toDouble net) (toDouble running)) (toDouble x, y)
        Array.concat [ [| value |]; Tree.leaves s.Net; Tree.leaves s.Momenta ] |> Array.map (cast DType.F32 >> eval)
    arithmetic
        "resnet18_train"
        "training step of ResNet-18, SGD with momentum"
        (3.0 * flop - float rows * 2.0 * 0.118e9)
        (fun () ->
            let net, running = init ()
            let batch = images (), below 1000 3L [| rows |]
            let operands = Array.concat [ Tree.leaves net; Tree.leaves running; Tree.leaves batch ]
            let work = ofStep step shown operands (Values.own (start net running)) batch
            { work with
                First = fun () -> Array.append (work.First()) (exactly net running batch ()) })

let all =
    [ evaluation "resnet18_fwd" "ResNet-18 forward"
      evaluation "resnet18_fwd_nhwc" "ResNet-18 forward, where the peer has its images and filters in NHWC"
      training ]
