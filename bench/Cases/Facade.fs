/// The facade: training loops as a C# program writes them, with eager-looking tensors.
module Nanograd.Bench.Cases.Facade

open Nanograd
open Nanograd.Bench
open Nanograd.Bench.Make

type private F = Nanograd.CSharp.F
type private Dense = Nanograd.CSharp.Linear
type private Facade = Nanograd.CSharp.Tensor

/// The same values in the facade's tensors.
let private floats (t: Tensor) = Facade.FromArray(toArray<float32> t, t.Shape)

let private integers (t: Tensor) = Facade.FromArray(toArray<int64> t, t.Shape)

/// And back.
let private values (t: Facade) = ofArray DType.F32 (Array.ofSeq t.Shape) (t.ToArray<float32>())

/// mlp_b64 and mlp_b512: ZeroGrad, forward, Backward, Step.
let private mlp rows =
    let flop = Networks.flopOfStep [ 784; 256; 128; 10 ] rows
    arithmetic $"mlp_b{rows}_facade" $"mlp_b{rows} by the facade's modules and AdamW" flop (fun () ->
        let start = [| linear 0 784 256; linear 1 256 128; linear 2 128 10 |]
        let batch = uniform 2L [| rows; 784 |], below 10 3L [| rows |]
        let dense (l: Linear) =
            let d = Dense(l.Weight.Shape[1], l.Weight.Shape[0])
            d.Weight.Set(floats l.Weight)
            d.Bias.Set(floats l.Bias.Value)
            d
        let a, b, c = dense start[0], dense start[1], dense start[2]
        let relu () = Nanograd.CSharp.ReLU()
        let model = Nanograd.CSharp.Sequential(a, relu (), b, relu (), c)
        let optimizer = Nanograd.CSharp.AdamW(model.Parameters(), lr = 1e-3, weightDecay = 0.0)
        let x, y = floats (fst batch), integers (snd batch)
        let step () =
            optimizer.ZeroGrad()
            let loss = F.CrossEntropy(model.Forward x, y)
            loss.Backward()
            optimizer.Step()
            loss
        let shown () =
            let loss = values (step ())
            let state = optimizer.StateDict()
            let parameters = [| for p in model.Parameters() -> values p |]
            let moments = Array.init parameters.Length (fun i -> values state[$"exp_avg.{i}"])
            Array.concat [ [| loss |]; parameters; moments ]
        { Operands = Array.append (Tree.leaves start) (Tree.leaves batch)
          First = shown
          Again = fun () -> step () |> ignore })
    |> afterAdam

let all = [ mlp 64; mlp 512 ]
