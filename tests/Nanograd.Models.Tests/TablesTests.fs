/// Tables of vectors and pooling with places: laws and errors.
module Nanograd.Models.Tests.TablesTests

open System
open NUnit.Framework
open Nanograd

let private some (seed: int64) (shape: int[]) = Random.normalOf DType.F64 (Random.key seed) shape |> eval

let private pools =
    [ PoolOptions.Of [| 2 |], [| 3; 7 |]
      { PoolOptions.Of [| 3; 2 |] with Stride = [| 2 |]; Padding = [| 1 |] }, [| 2; 3; 6; 5 |]
      { PoolOptions.Of [| 3 |] with
          Dilation = [| 2 |]
          Padding = [| 1 |]
          CeilMode = true },
      [| 2; 2; 8 |]
      { PoolOptions.Of [| 2; 2; 3 |] with CeilMode = true }, [| 2; 4; 5; 7 |] ]

/// What stands at places that count through the last n axes.
let private at n (places: Tensor) (x: Tensor) =
    let flat (t: Tensor) = reshape (Array.append t.Shape[.. t.Rank - n - 1] [| -1 |]) t
    gather -1 (flat places) (flat x) |> reshape places.Shape

[<Test>]
let ``the largest elements stand at their places`` () =
    pools
    |> List.iteri (fun i (o, shape) ->
        let x = some (int64 i) shape
        Assert.That(at o.Size.Length (maxPoolIndices o x) x |> floats, Is.EqualTo<float[]>(floats (maxPool o x))))

[<Test>]
let ``of equal elements the first one counts, and padding never`` () =
    let o = { PoolOptions.Of [| 3 |] with Padding = [| 1 |]; Stride = [| 1 |] }
    let x = tensor [ [ -5.; -5.; -7.; -5. ] ]
    Assert.That(toArray<int64>(maxPoolIndices o x), Is.EqualTo<int64[]> [| 0L; 0L; 1L; 3L |])

[<Test>]
let ``pooling finds again what unpooling has put somewhere`` () =
    let o = PoolOptions.Of [| 2; 2 |]
    let x = abs (some 5L [| 2; 3; 4; 6 |]) + 1.0
    let y, places = maxPool o x, maxPoolIndices o x
    let spread = maxUnpool [| 4; 6 |] places y
    Assert.That(floats (maxPool o spread), Is.EqualTo<float[]>(floats y))
    Assert.That((sum spread).Shape, Is.Empty)
    assertClose 1e-12 "nothing else is there" [| item (sum y) |] [| item (sum spread) |]
    let weights = some 6L spread.Shape
    let gradient = grad (fun y -> sum (maxUnpool [| 4; 6 |] places y * weights)) y
    Assert.That(floats gradient, Is.EqualTo<float[]>(floats (at 2 places weights)))

[<Test>]
let ``unpooling wants places for all elements`` () =
    let x = zeros [| 2; 3 |]
    raises<ShapeException> [ "one shape" ] (fun () -> maxUnpool [| 6 |] (zerosOf DType.I64 [| 2; 2 |]) x |> ignore)
    raises<ShapeException> [ "integers" ] (fun () -> maxUnpool [| 6 |] (zeros [| 2; 3 |]) x |> ignore)
    raises<ShapeException> [ "float" ] (fun () ->
        maxPoolIndices (PoolOptions.Of [| 2 |]) (zerosOf DType.I32 [| 4 |]) |> ignore)

[<Test>]
let ``only rows that are looked up are scaled down, and only long ones`` () =
    let table: Embedding = { Weight = some 1L [| 6; 4 |] * 3.0 + 0.1 }
    let ids = i32 [ 2; 2 ] [ 1; 3; 3; 5 ]
    for p in [ 1.0; 2.0; infinity ] do
        let limit = 2.0
        let after = (Embedding.renormalise limit p ids table).Weight
        let before, now = floats (normOver p [ 1 ] table.Weight), floats (normOver p [ 1 ] after)
        for row in 0..5 do
            let expected = if List.contains row [ 1; 3; 5 ] then min before[row] limit else before[row]
            Assert.That(now[row], Is.EqualTo(expected).Within 1e-6, $"row {row}, norm {p}")
    raises<ArgumentException> [ "greater than 0" ] (fun () -> Embedding.renormalise 0.0 2.0 ids table |> ignore)

[<Test>]
let ``samples of a softmax are distributions, hard ones one-hot with the gradient of the soft`` () =
    let x, key = some 3L [| 5; 4 |], Random.key 9L
    let soft = gumbelSoftmax 0.7 false 1 key x
    assertClose 1e-12 "sums" (Array.create 5 1.0) (floats (sumOver [ 1 ] soft))
    let hard = gumbelSoftmax 0.7 true 1 key x
    Assert.That(toArray<int64>(argMax 1 hard), Is.EqualTo<int64[]>(toArray<int64>(argMax 1 soft)))
    assertClose 1e-12 "one-hot" (Array.create 5 1.0) (floats (sumOver [ 1 ] (square hard)))
    let weights = some 4L [| 5; 4 |]
    let gradient isHard = grad (fun x -> sum (gumbelSoftmax 0.7 isHard 1 key x * weights)) x |> floats
    assertClose 1e-12 "gradient" (gradient false) (gradient true)
    raises<ArgumentException> [ "temperature" ] (fun () -> gumbelSoftmax 0.0 false 1 key x |> ignore)
