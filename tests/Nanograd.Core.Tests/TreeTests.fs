/// Any F# data made of tensors is a tree of parameters.
module Nanograd.Core.Tests.TreeTests

open NUnit.Framework
open Nanograd

[<NoComparison>]
type Layer = { Weight: Tensor; Bias: Tensor option }

[<NoComparison>]
type Activation =
    | Relu
    | Scaled of factor: Tensor * times: int

[<NoComparison>]
type Model =
    { Blocks: Layer list
      Head: Tensor * Layer
      Table: Map<string, Tensor>
      Extra: Tensor[]
      Act: Activation
      Name: string
      Rate: float }

let private t (v: float) = tensor [ v ]
let private layer v = { Weight = t v; Bias = Some(t (v + 0.5)) }

let private model =
    { Blocks = [ layer 1.0; { Weight = t 2.0; Bias = None } ]
      Head = (t 3.0, layer 4.0)
      Table = Map [ "b", t 6.0; "a", t 5.0 ]
      Extra = [| t 7.0; t 8.0 |]
      Act = Scaled(t 9.0, 3)
      Name = "m"
      Rate = 0.5 }

[<Test>]
let ``names are paths, in the order of declaration`` () =
    let names = Tree.named model |> Array.map fst
    let wanted =
        [| "Blocks.0.Weight"
           "Blocks.0.Bias"
           "Blocks.1.Weight"
           "Head.0"
           "Head.1.Weight"
           "Head.1.Bias"
           "Table.a"
           "Table.b"
           "Extra.0"
           "Extra.1"
           "Act.factor" |]
    Assert.That(names, Is.EqualTo<string> wanted)

[<Test>]
let ``rebuilding with a tree's own tensors gives the tree`` () =
    let leaves, structure = Tree.flatten model
    let again = Tree.rebuild model leaves
    Assert.That(again.Head |> fst, Is.EqualTo(fst model.Head))
    Assert.That(Tree.leaves again, Is.EqualTo<Tensor> leaves)
    Assert.That(snd (Tree.flatten again), Is.EqualTo structure)
    Assert.That(again.Name, Is.EqualTo "m")
    Assert.That(again.Act, Is.EqualTo model.Act)

[<Test>]
let ``map visits every tensor once, in its place`` () =
    let doubled = model |> Tree.map (fun x -> x * 2.0) |> eval
    let sums = Tree.leaves doubled |> Array.map (sum >> item)
    Assert.That(sums, Is.EqualTo<float> [| 2.0; 3.0; 4.0; 6.0; 8.0; 9.0; 10.0; 12.0; 14.0; 16.0; 18.0 |])
    let sum2 = Tree.map2 (+) model model |> eval
    Assert.That(Tree.leaves sum2 |> Array.map (sum >> item), Is.EqualTo<float> sums)

[<Test>]
let ``structure tells trees apart by everything but their tensors`` () =
    let structure (m: Model) = snd (Tree.flatten m)
    Assert.That(structure { model with Extra = [| t 0.0; t 0.0 |] }, Is.EqualTo(structure model))
    let others =
        [ { model with Rate = 0.25 }
          { model with Name = "n" }
          { model with Act = Relu }
          { model with Act = Scaled(t 9.0, 4) }
          { model with Extra = [| t 7.0 |] }
          { model with Blocks = model.Blocks.Tail }
          { model with Table = Map [ "a", t 5.0; "c", t 6.0 ] } ]
    let matches (m: Model) = Tree.node<Model>.Matches(box m, box model, Leaves(Array.zeroCreate (Tree.leaves m).Length))
    Assert.That(matches { model with Extra = [| t 0.0; t 0.0 |] })
    Assert.That(matches { model with Extra = [| t 0.0; tensor [ 0.0; 1.0 ] |] }, Is.False, "another shape")
    Assert.That(matches { model with Extra = [| t 0.0; i64 [| 1 |] [ 1L ] |] }, Is.False, "another type")
    Assert.That(matches { model with Extra = [| t 0.0; t 0.0 + t 0.0 |] }, Is.False, "an expression")
    for other in others do
        Assert.That(structure other, Is.Not.EqualTo(structure model))
        Assert.That(matches other, Is.False)

[<Test>]
let ``trees of values, of many parts, of lists and maps`` () =
    let check (tree: 'T) =
        let leaves = Tree.leaves tree
        let found = Leaves(Array.zeroCreate leaves.Length)
        Assert.That(Tree.node<'T>.Matches(box tree, box (Tree.map (fun x -> x + x |> eval) tree), found))
        Assert.That(found.Tensors, Is.EqualTo<Tensor> leaves)
        Assert.That(snd (Tree.flatten (Tree.map id tree)), Is.EqualTo(snd (Tree.flatten tree)))
    check (struct (t 1.0, [ t 2.0; t 3.0 ]))
    check (t 1.0, t 2.0, t 3.0, t 4.0, t 5.0, t 6.0, t 7.0, t 8.0, 9, t 10.0)
    check [| struct (t 1.0, 2.0); struct (t 3.0, 2.0) |]
    check (Map [ 1, [ Some(t 1.0); None ]; 2, [] ])
    check (t 1.0, ())

[<Test>]
let ``too few or too many tensors are refused`` () =
    let one, three = [| t 1.0 |], [| t 1.0; t 2.0; t 3.0 |]
    Assert.Throws<System.ArgumentException>(System.Action(fun () -> Tree.rebuild (t 0.0, t 0.0) one |> ignore))
    |> ignore
    Assert.Throws<System.ArgumentException>(System.Action(fun () -> Tree.rebuild (t 0.0, t 0.0) three |> ignore))
    |> ignore

[<Test>]
let ``gradients are trees like their arguments, with zeros for what is not a float`` () =
    let at =
        {| W = tensor [ 1.0; 2.0 ]
           Ids = i64 [| 2 |] [ 1L; 0L ]
           Pair = [ tensor [ 3.0 ] ] |}
    let value, g =
        valueAndGrad
            (fun (p: {| W: Tensor; Ids: Tensor; Pair: Tensor list |}) -> sum (take 0 p.Ids p.W * p.W) + sum p.Pair[0])
            at
    Assert.That(item value, Is.EqualTo 7.0)
    Assert.That(floatsOf g.W, Is.EqualTo<float> [| 4.0; 2.0 |])
    Assert.That(g.Ids.DType, Is.EqualTo DType.I64)
    Assert.That(floatsOf g.Pair[0], Is.EqualTo<float> [| 1.0 |])

[<NoComparison>]
type private Hidden = { Inner: Tensor; Kind: Choices }

and [<NoComparison>] private Choices = One of Tensor

[<Test>]
let ``private types are trees`` () =
    let hidden = { Inner = t 1.0; Kind = One(t 2.0) }
    Assert.That(Tree.named hidden |> Array.map fst, Is.EqualTo<string> [| "Inner"; "Kind.Item" |])
    let other = Tree.map (fun x -> x * 2.0) hidden
    Assert.That(floatsOf other.Inner, Is.EqualTo<float> [| 2.0 |])
