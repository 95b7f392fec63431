/// Training steps of perceptrons, small convolutional and recurrent networks, and programs of many small steps.
module Nanograd.Bench.Cases.Networks

open System
open Nanograd
open Nanograd.Bench
open Nanograd.Bench.Make

// ------------------------------------------------------------------------------------------------ perceptrons

let private perceptron (layers: Linear[]) x =
    let hidden = Array.fold (fun x l -> relu (Linear.apply l x)) x layers[.. layers.Length - 2]
    Linear.apply (Array.last layers) hidden

let private classify (layers: Linear[]) (x, y) = Loss.crossEntropy (perceptron layers x) y

/// Multiply-adds of a training step on one row: all layers but the first have a gradient of their input.
let private macsOfStep (widths: int list) =
    let each = List.pairwise widths |> List.map (fun (i, o) -> float i * float o)
    2.0 * List.head each + 3.0 * List.sum (List.tail each)

/// Operations of a training step on some rows.
let flopOfStep (widths: int list) rows = 2.0 * float rows * macsOfStep widths

/// Layers of these widths with relu between them, cross-entropy of the last as classes, Adam.
let private mlp name (widths: int list) rows =
    let shape = String.Join("-", widths)
    arithmetic name $"training step of {shape} relu, {rows} rows, Adam" (flopOfStep widths rows) (fun () ->
        let layers = widths |> List.pairwise |> List.mapi (fun n (i, o) -> linear n i o) |> List.toArray
        let batch = uniform 2L [| rows; List.head widths |], below (List.last widths) 3L [| rows |]
        ofTraining adam classify layers batch)
    |> afterAdam

let private digits = [ 784; 256; 128; 10 ]

// ------------------------------------------------------------------------------------------------ convolutions

/// [64,1,28,28], two convolutions of 3 x 3 to 32 and 64 channels, relu after each, 2 x 2 pooling, 9216-128-10.
module private Cnn =
    let rows = 64

    let private filters n outputs inputs =
        let bound = 1.0 / Math.Sqrt(9.0 * float inputs)
        let uniform n shape = Random.uniform (Random.fold (Random.key 4L) n) shape * (2.0 * bound) - bound
        uniform n [| outputs; inputs; 3; 3 |], uniform (n + 1) [| outputs |]

    let start () = eval (filters 0 32 1, filters 2 64 32, linear 0 9216 128, linear 1 128 10)

    let images () = uniform 2L [| rows; 1; 28; 28 |]

    let forward ((w1, b1), (w2, b2), first: Linear, second: Linear) x =
        x
        |> conv2d ConvOptions.Default w1 (Some b1)
        |> relu
        |> conv2d ConvOptions.Default w2 (Some b2)
        |> relu
        |> maxPool (PoolOptions.Of [| 2; 2 |])
        |> reshape [| rows; 9216 |]
        |> Linear.apply first
        |> relu
        |> Linear.apply second

    let first, rest = 26.0 * 26.0 * 32.0 * 9.0, 24.0 * 24.0 * 64.0 * 32.0 * 9.0 + 9216.0 * 128.0 + 1280.0

    let cases =
        let ofRows macs = 2.0 * float rows * macs
        [ arithmetic
              "cnn_b64"
              "training step of a CNN, 64 x 28 x 28, Adam"
              (ofRows (2.0 * first + 3.0 * rest))
              (fun () ->
                  let loss p (x, y) = Loss.crossEntropy (forward p x) y
                  ofTraining adam loss (start ()) (images (), below 10 3L [| rows |]))
          |> afterAdam
          arithmetic "cnn_b64_fwd" "the same CNN forward" (ofRows (first + rest)) (fun () ->
              ofFunction (fun (p, x) -> forward p x) (start (), images ())) ]

// ------------------------------------------------------------------------------------------------ recurrence

/// 64 inputs to 256 units over 128 steps, both biases, 32 sequences; the last state to 10 classes.
let private lstm =
    let rows, steps, inputs, units = 32, 128, 64, 256
    let forward (ofInput: Linear, ofState: Linear, classes: Linear) (x: Tensor) =
        let cell (h, c) x =
            let gates = split -1 units (Linear.apply ofInput x + Linear.apply ofState h)
            let c = sigmoid gates[1] * c + sigmoid gates[0] * tanh gates[2]
            sigmoid gates[3] * tanh c, c
        let zero = zeros [| rows; units |]
        let h, _ = foldRows cell (zero, zero) (permute [| 1; 0; 2 |] x)
        Linear.apply classes h
    let loss p (x, y) = Loss.crossEntropy (forward p x) y
    let macs = float (rows * steps * 4 * units) * (2.0 * float inputs + 3.0 * float units)
    arithmetic "lstm" "training step of an LSTM, 64 to 256, 128 steps, 32 sequences, Adam" (2.0 * macs) (fun () ->
        let start = linear 0 inputs (4 * units), linear 1 units (4 * units), linear 2 units 10
        ofTraining adam loss start (normal 2L [| rows; steps; inputs |], below 10 3L [| rows |]))
    |> afterAdam

// ------------------------------------------------------------------------------------------------ many small steps

/// y = x; 500 times: y = y * a; y = y + b.
let private chains =
    let chain (x: Tensor, a: Tensor, b: Tensor) = Seq.fold (fun (y: Tensor) _ -> y * a + b) x (seq { 1..500 })
    let operands () = normal 1L [| 4 |], eval (full DType.F32 [| 4 |] 0.999), eval (full DType.F32 [| 4 |] 1e-3)
    let towards (x, a, b) = grad (fun x -> sum (chain (x, a, b))) x
    [ overhead "micro_chain_fwd" "1000 operations on [4], one after another" (fun () -> ofFunction chain (operands ()))
      overhead "micro_chain_fwdbwd" "gradient of the sum of that" (fun () -> ofFunction towards (operands ())) ]

/// micrograd's demonstration: 2-16-16-1 with relu, 100 samples, hinge loss and L2, gradient descent.
let private micrograd =
    let loss (layers: Linear[]) (x: Tensor, y: Tensor) =
        let margin = mean (relu (1.0 - y * perceptron layers x))
        margin + 1e-4 * (Tree.leaves layers |> Array.map (square >> sum) |> Array.reduce (+))
    overhead "micrograd_demo" "training step of 2-16-16-1, 100 samples, hinge and L2, SGD" (fun () ->
        let step layers batch =
            let value, gradient = valueAndGrad (fun p -> loss p batch) layers
            Tree.map2 (fun (p: Tensor) (g: Tensor) -> p - 0.05 * g) layers gradient, value
        let layers = [| linear 0 2 16; linear 1 16 16; linear 2 16 1 |]
        let batch = normal 2L [| 100; 2 |], eval (sgn (normal 3L [| 100; 1 |]))
        let operands = Array.append (Tree.leaves layers) (Tree.leaves batch)
        ofStep step (fun (p, value) -> Array.append [| value |] (Tree.leaves p)) operands (Values.own layers) batch)

let all =
    [ mlp "mlp_b64" digits 64
      mlp "mlp_b512" digits 512
      mlp "mlp_b1" digits 1
      mlp "mlp_b4096" digits 4096
      mlp "mlp_deep" [ yield! List.replicate 51 32; 10 ] 64
      yield! Cnn.cases
      lstm
      yield! chains
      micrograd ]
