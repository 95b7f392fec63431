/// Recurrent networks written with loops, against a public reference implementation: values and gradients.
module Nanograd.Core.Tests.RecurrentTests

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests.Oracles

/// A step from the state and a slice [batch; inputs], given the parameters of a layer in one direction by name.
let private cell (kind: string) (relu: bool) (p: string -> Tensor) (state: Tensor list) (x: Tensor) : Tensor list =
    let sigmoid (t: Tensor) = 1.0 / (1.0 + exp (-t))
    let h = state.Head
    let linear x w b = matmul x (permute [| 1; 0 |] (p w)) + p b
    let gate (t: Tensor) i =
        let width = h.Shape[1]
        Op.slice [| 0; i * width |] [| t.Shape[0]; (i + 1) * width |] [| 1; 1 |] t
    let a, b = linear x "weight_ih" "bias_ih", linear h "weight_hh" "bias_hh"
    match kind with
    | "lstm" ->
        let g = gate (a + b)
        let c = sigmoid (g 1) * state[1] + sigmoid (g 0) * tanh (g 2)
        [ sigmoid (g 3) * tanh c; c ]
    | "gru" ->
        let r, z = sigmoid (gate a 0 + gate b 0), sigmoid (gate a 1 + gate b 1)
        let n = tanh (gate a 2 + r * gate b 2)
        [ (1.0 - z) * n + z * h ]
    | _ -> if relu then [ maximum (a + b) (zerosLike h) ] else [ tanh (a + b) ]

/// All layers of a case, in both directions if it has two: the output, and the last states.
let private network (c: Case) (parameter: string -> Tensor) (x: Tensor) (starts: Tensor list) : Tensor list =
    let flag (name: string) = c.Attributes.GetProperty(name).GetBoolean()
    let isRelu = c.Op = "rnn" && c.Attributes.GetProperty("nonlinearity").GetString() = "relu"
    let directions = if flag "bidirectional" then [ ""; "_reverse" ] else [ "" ]
    let turned x = if flag "batch_first" then permute [| 1; 0; 2 |] x else x
    let row (i: int) (t: Tensor) =
        Op.reshape t.Shape[1..] (Op.slice [| i; 0; 0 |] [| i + 1; t.Shape[1]; t.Shape[2] |] [| 1; 1; 1 |] t)
    let layer (x, finals) l =
        let results =
            directions
            |> List.mapi (fun d suffix ->
                let p name = parameter $"{name}_l{l}{suffix}"
                let start = starts |> List.map (row (l * directions.Length + d))
                let step state x = let next = cell c.Op isRelu p state x in next, next.Head
                if d = 0 then scan step start x else scanReverse step start x)
        concat 2 (List.map snd results), finals @ List.map fst results
    let x, finals = List.fold layer (turned x, []) [ 0 .. c.Attributes.GetProperty("num_layers").GetInt32() - 1 ]
    let stack i = concat 0 (finals |> List.map (fun f -> Op.reshape (Array.append [| 1 |] f[i].Shape) f[i]))
    turned x :: List.init starts.Length stack

let private agrees (c: Case) =
    let names = Array.append c.Inputs c.Parameters
    let values = names |> Array.map c.Tensor
    let variables = names |> Array.map (fun n -> let t = c.Tensor n in Op.input n t.DType t.Shape)
    let byName = dict (Array.zip names variables)
    let inputs = c.Inputs |> Array.map (fun n -> byName[n]) |> List.ofArray
    let results = network c (fun p -> byName["param." + p]) inputs.Head inputs.Tail |> List.toArray
    let cotangents = c.Outputs |> Array.map (fun o -> c.Tensor(o.Replace("out.", "cot.")))
    let wanted = c.Gradients |> Array.map (fun g -> names |> Array.findIndex (fun n -> n.EndsWith("." + g[5..])))
    let gradients = Grad.vjp results cotangents (wanted |> Array.map (fun i -> variables[i]))
    let all = Jit.bind variables values (Array.append results gradients)
    Array.iter2
        (fun key t -> assertClose 1e-5 $"{c.Name}: {key}" (interpreted (c.Tensor key)) (computed t))
        (Array.append c.Outputs c.Gradients)
        all

[<TestCase "rnn">]
[<TestCase "lstm">]
[<TestCase "gru">]
let ``recurrent networks and their gradients agree with the reference`` (op: string) =
    let cases = ofFunction op
    Assert.That(cases, Is.Not.Empty)
    List.iter agrees cases
