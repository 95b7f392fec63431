/// Batching: every primitive, with every combination of its operands batched, is the stack of its examples, bit for bit.
module Nanograd.Core.Tests.VmapTests

open System
open System.Collections.Generic
open NUnit.Framework
open FsCheck.NUnit
open FSharp.Reflection
open Nanograd
open Nanograd.Core.Tests.Pool
open Nanograd.Core.Tests.Programs

/// What an operand's elements are drawn from.
type Elements =
    | Number of DType
    /// Integers from 0 to bound - 1.
    | Below of DType * bound: int

[<NoEquality; NoComparison>]
type Sample = { Operands: (Elements * int[])[]; Function: Tensor[] -> Tensor[] }

let private make (operands: (Elements * int[]) list) (f: Tensor[] -> Tensor[]) =
    { Operands = Array.ofList operands; Function = f }
let private one operands (f: Tensor[] -> Tensor) = make operands (fun x -> [| f x |])

let typeOf (e: Elements) =
    match e with
    | Number d -> d
    | Below(d, _) -> d

/// Few different numbers, so that there are ties; signed zeros, infinities and NaN among the floats.
let private draw (random: Random) (e: Elements) =
    match e with
    | Below(d, bound) -> Constant.ofInt d (random.NextInt64(int64 (max 1 bound)))
    | Number d when DType.isFloat d ->
        match random.Next 24 with
        | 0 -> Constant.ofFloat d nan
        | 1 -> Constant.ofFloat d infinity
        | 2 -> Constant.ofFloat d -0.0
        | 3
        | 4 -> Constant.ofFloat d (float (random.Next(-2, 3)))
        | _ -> Constant.ofFloat d (4.0 * random.NextDouble() - 2.0)
    | Number d -> Constant.ofInt d (random.NextInt64() >>> random.Next 64)

let private values random e shape = valueOf (typeOf e) shape (Array.init (Shape.count shape) (fun _ -> draw random e))

let private subsets k = [ for bits in 1 .. (1 <<< k) - 1 -> Array.init k (fun i -> bits >>> i &&& 1 = 1) ]

/// For each way to batch some operands, `n` examples: what each gives alone, and all of them batched.
let private batchings (random: Random) (n: int) (s: Sample) =
    [ for flags in subsets s.Operands.Length do
          let draws =
              Array.map2
                  (fun f (e, shape) ->
                      if f then
                          Array.init n (fun _ -> values random e shape)
                      else
                          Array.create n (values random e shape))
                  flags
                  s.Operands
          let alone = Array.init n (fun i -> s.Function(draws |> Array.map (fun d -> d[i])))
          let variables =
              Array.mapi2
                  (fun i f (e, shape: int[]) ->
                      if f then Op.input "x" (typeOf e) shape
                      elif n > 0 then draws[i].[0]
                      else values random e shape)
                  flags
                  s.Operands
          let together i (e, shape: int[]) =
              valueOf (typeOf e) (Array.append [| n |] shape) (draws[i] |> Array.collect interpreted)
          let pick (xs: 'a[]) = Array.zip flags xs |> Array.filter fst |> Array.map snd
          let outputs = s.Function variables
          let batch = Vmap.vmap n outputs (pick variables) (pick (Array.mapi together s.Operands))
          for r in 0 .. outputs.Length - 1 do
              let text = String.Join(",", flags |> Array.map (fun f -> if f then "batched" else "shared"))
              Assert.That(batch[r].Shape, Is.EqualTo<int>(Array.append [| n |] outputs[r].Shape), text)
              Assert.That(batch[r].DType, Is.EqualTo outputs[r].DType, text)
              text, alone |> Array.map (fun ys -> ys[r]), batch[r] ]

let private check (name: string) (random: Random) (n: int) (s: Sample) =
    let all = batchings random n s
    let compiled =
        Program.withoutRewriting (fun () ->
            Program.evaluate [| for _, _, batch in all -> batch |] |> Array.map (Program.storage >> elements))
    for (text, alone, batch), compiled in Seq.zip all compiled do
        let expected = alone |> Array.collect interpreted
        assertSame $"{name}, {n} examples, {text}" expected (interpreted batch)
        assertSame $"{name}, {n} examples, {text}, compiled" expected compiled

// ------------------------------------------------------------------------------------------------ the primitives

let private extents = [| 0; 1; 1; 2; 3; 4; 5 |]
let private extent (r: Random) = extents[r.Next extents.Length]
let private shape (r: Random) (rank: int) = Array.init rank (fun _ -> extent r)
let private anyShape (r: Random) = shape r (r.Next 4)
let private someShape (r: Random) = shape r (1 + r.Next 3) |> Array.map (max 1)
let private oneOf (r: Random) (xs: 'a[]) = xs[r.Next xs.Length]
let private shuffled (r: Random) n = Array.init n id |> Array.sortBy (fun _ -> r.Next())

let private integers = [| DType.I64; DType.I32; DType.U32; DType.U8; DType.I8 |]
let private floats = [| DType.F64; DType.F32 |]
let private every = List.toArray DType.all

let private unary (u: Unary) (r: Random) =
    let types =
        match u with
        | Unary.Not -> Array.append integers [| DType.Bool |]
        | Unary.Neg
        | Unary.Abs
        | Unary.Sign -> Array.append integers floats
        | _ -> [| DType.F64; DType.F32; DType.F16; DType.BF16 |]
    one [ Number(oneOf r types), anyShape r ] (fun x -> Op.unary u x[0])

let private binary (b: Binary) (r: Random) =
    let types =
        match b with
        | Binary.And
        | Binary.Or
        | Binary.Xor -> Array.append integers [| DType.Bool |]
        | Binary.Shl
        | Binary.Shr -> integers
        | _ -> every
    let d, s = oneOf r types, anyShape r
    one [ Number d, s; Number d, s ] (fun x -> Op.binary b x[0] x[1])

let private movements: (string * (Random -> Sample)) list =
    let moved name (apply: Random -> int[] -> Tensor -> Tensor) =
        name,
        fun r ->
            let s = someShape r
            let f = apply r s
            one [ Number(oneOf r every), s ] (fun x -> f x[0])
    let window (r: Random) (s: int[]) =
        { Axis = r.Next s.Length
          Size = 1 + r.Next 2
          Step = 1 + r.Next 2
          Dilation = 1 + r.Next 2 }
    let fits w (s: int[]) = if (w.Size - 1) * w.Dilation + 1 > s[w.Axis] then { w with Size = 1 } else w
    [ moved "reshape" (fun _ _ -> Op.reshape [| -1 |])
      "reshape of nothing", (fun _ -> one [ Number DType.F32, [| 0; 2 |] ] (fun x -> Op.reshape [| 3; 0 |] x[0]))
      moved "permute" (fun r s -> Op.permute (shuffled r s.Length))
      "broadcast",
      fun r ->
          let s = shape r 3
          let from = s |> Array.map (fun e -> if r.Next 2 = 0 then 1 else e)
          one [ Number(oneOf r every), from ] (fun x -> Op.broadcast (Array.append [| 2 |] s) x[0])
      moved "slice" (fun r s ->
          let starts = s |> Array.map (fun e -> r.Next(e + 1))
          let stops = Array.map2 (fun a e -> a + r.Next(e - a + 1)) starts s
          Op.slice starts stops (s |> Array.map (fun _ -> 1 + r.Next 3)))
      "pad",
      fun r ->
          let s, d = shape r 2, oneOf r every
          let amounts () = Array.init 2 (fun _ -> r.Next 3)
          let low, high, interior = amounts (), amounts (), amounts ()
          one [ Number d, s; Number d, [||] ] (fun x -> Op.pad low high interior x[1] x[0])
      moved "reverse" (fun r s -> Op.reverse (Array.truncate (1 + r.Next s.Length) (shuffled r s.Length)))
      "concat",
      fun r ->
          let s, d = someShape r, oneOf r every
          let axis = r.Next s.Length
          let other () = Array.updateAt axis (extent r) s
          one [ Number d, s; Number d, other (); Number d, other () ] (Op.concat axis)
      moved "unfold" (fun r s -> Op.unfold (fits (window r s) s))
      moved "fold" (fun r s ->
          let w = fits (window r s) s
          fun x ->
              let x = if x.DType = DType.Bool then Op.cast DType.I32 x else x
              Op.fold w s[w.Axis] (Op.unfold w x)) ]

let private reductions: (string * (Random -> Sample)) list =
    [ for red in all<Reduction> do
          $"reduce {red}",
          fun (r: Random) ->
              let s = if red = Reduction.Max || red = Reduction.Min then someShape r else shape r (1 + r.Next 3)
              let axes = Array.truncate (1 + r.Next s.Length) (shuffled r s.Length)
              one [ Number(oneOf r every), s ] (fun x -> Op.reduce red axes x[0])
      // Beyond one block and one row of lanes, where the order of summation shows.
      "reduce long rows",
      (fun _ -> one [ Number DType.F32, [| 2; 4500 |] ] (fun x -> Op.reduce Reduction.Sum [ 1 ] x[0]))
      "reduce long columns",
      (fun _ -> one [ Number DType.F64, [| 600; 3 |] ] (fun x -> Op.reduce Reduction.Sum [ 0 ] x[0]))
      "reduce everything",
      (fun _ -> one [ Number DType.F32, [| 30; 31; 5 |] ] (fun x -> Op.reduce Reduction.Sum [ 0; 1; 2 ] x[0]))
      "reduce around",
      (fun _ -> one [ Number DType.F32, [| 33; 3; 65 |] ] (fun x -> Op.reduce Reduction.Sum [ 0; 2 ] x[0]))
      let along name (apply: Random -> int -> Tensor -> Tensor[]) =
          name,
          fun (r: Random) ->
              let s, d = someShape r, oneOf r every
              let f = apply r (r.Next s.Length)
              make [ Number d, s ] (fun x -> f x[0])
      along "argReduce" (fun r axis -> let largest = r.Next 2 = 0 in fun x -> [| Op.argReduce largest axis x |])
      along "cumSum" (fun r axis -> let back = r.Next 2 = 0 in fun x -> [| Op.cumSum axis back x |])
      along "sort" (fun r axis ->
          let down = r.Next 2 = 0
          fun x -> let v, i = Op.sort axis down x in [| v; i |])
      along "topK" (fun r _ ->
          let part = r.NextDouble()
          fun x -> let v, i = Op.topK (int (part * float (x.Shape[x.Rank - 1] + 1))) x in [| v; i |]) ]

let private contraction (r: Random) =
    let s = shape r (1 + r.Next 3)
    let kind = s |> Array.map (fun _ -> r.Next 3) // batch, summed, free
    let having k =
        [| for i in 0 .. s.Length - 1 do
               if kind[i] = k then i |]
        |> Array.sortBy (fun _ -> r.Next())
    let batch, summed = having 0, having 1
    let pick = Array.map (fun (a: int) -> s[a])
    let sizes = Array.concat [ pick batch; pick summed; shape r (r.Next 3) ]
    let order = shuffled r sizes.Length
    let place k = Array.IndexOf(order, k)
    let c =
        { LeftBatch = batch
          RightBatch = Array.init batch.Length place
          LeftSum = summed
          RightSum = Array.init summed.Length (fun k -> place (batch.Length + k)) }
    let d = oneOf r [| DType.F64; DType.F32; DType.I32; DType.F16 |]
    one [ Number d, s; Number d, order |> Array.map (fun k -> sizes[k]) ] (fun x -> Op.dot c x[0] x[1])

let private convolution (r: Random) =
    let groups, spatial = 1 + r.Next 2, 1 + r.Next 3
    let per low high = Array.init spatial (fun _ -> r.Next(low, high + 1))
    let kernel = per 1 2
    let dilation = per 1 2
    let c =
        { Strides = per 1 2
          PadLow = per 0 2
          PadHigh = per 0 2
          LeftDilation = per 1 2
          RightDilation = dilation
          Groups = groups }
    let channels = r.Next 3
    let image = Array.map2 (fun k d -> (k - 1) * d + 1 + r.Next 3) kernel dilation
    let d = oneOf r floats
    let x = Array.append [| r.Next 3; groups * channels |] image
    let w = Array.append [| groups * r.Next 3; channels |] kernel
    one [ Number d, x; Number d, w ] (fun x -> Op.conv c x[0] x[1])

let private indexing: (string * (Random -> Sample)) list =
    let lookup (r: Random) =
        let batch = shape r (r.Next 2)
        let before, own, after = shape r (r.Next 2), shape r (r.Next 3), shape r (r.Next 2)
        let extent = 1 + r.Next 4
        let x = Array.concat [ batch; before; [| extent |]; after ]
        let axis = batch.Length + before.Length
        let d = oneOf r [| DType.I64; DType.I32 |]
        x, axis, batch.Length, (Below(d, extent), Array.append batch own), Array.concat [ batch; before; own; after ]
    let box (r: Random) =
        let s = someShape r
        let sizes = s |> Array.map (fun e -> 1 + r.Next e)
        let starts = Array.map2 (fun e size -> Below(oneOf r [| DType.I64; DType.I32 |], e - size + 1), [||]) s sizes
        s, sizes, List.ofArray starts
    [ "gather",
      fun r ->
          let x, axis, batch, indices, _ = lookup r
          one [ Number(oneOf r every), x; indices ] (fun x -> Op.gather axis batch x[0] x[1])
      "scatterAdd",
      fun r ->
          let x, axis, batch, indices, updates = lookup r
          let d = Number(oneOf r [| DType.F64; DType.F32; DType.I64; DType.I8 |])
          one [ d, x; indices; d, updates ] (fun x -> Op.scatterAdd axis batch x[0] x[1] x[2])
      "dynamicSlice",
      fun r ->
          let s, sizes, starts = box r
          one ((Number(oneOf r every), s) :: starts) (fun x -> Op.dynamicSlice x[1..] sizes x[0])
      "dynamicUpdate",
      fun r ->
          let s, sizes, starts = box r
          let d = Number(oneOf r every)
          one ((d, s) :: (d, sizes) :: starts) (fun x -> Op.dynamicUpdate x[2..] x[1] x[0])
      "dynamicUpdate of nothing",
      fun _ ->
          one [ Number DType.F32, [| 3; 2 |]; Number DType.F32, [| 0; 2 |]; Below(DType.I64, 4), [||] ] (fun x ->
              Op.dynamicUpdate [| x[2]; Op.constant (Constant.ofInt DType.I64 0L) |] x[1] x[0]) ]

// ------------------------------------------------------------------------------------------------ calls

let private vector = DType.F64, [| 2 |]

/// Three carries, of which one feeds the next, and a loop inside that reads a carry and a captured value.
let private nested reverse (x: Tensor[]) =
    let scan body captured carried scanned length =
        Op.scan
            { Body = body
              Captured = Array.length captured
              Carried = Array.length carried
              Length = length
              Reverse = reverse }
            (Array.concat [ captured; carried; scanned ])
    let body, captured =
        Lambda.trace [| vector; vector; vector; vector |] (fun p ->
            let inner, own =
                Lambda.trace [| vector; vector |] (fun q ->
                    let h = tanh (q[0] * x[3] + q[1] + p[0])
                    [| h; h * p[3] |])
            let r = scan inner own [| p[1] |] [| x[4] |] 3
            [| p[0] * 0.5 + x[5]; r[0]; p[1] + p[2]; sumOver [ 0 ] r[1] * p[3] |])
    scan body captured [| x[0]; x[1]; x[2] |] [| x[6] |] 2

let private loop reverse (x: Tensor[]) =
    let body, captured =
        Lambda.trace [| vector; vector |] (fun p -> let c = tanh (p[0] * x[2] + p[1]) in [| c; c * p[1]; p[1] + 1.0 |])
    Op.scan
        { Body = body
          Captured = captured.Length
          Carried = 1
          Length = 4
          Reverse = reverse }
        (Array.append captured [| x[0]; x[1] |])

let private two = [ Number DType.F64, [| 2 |]; Number DType.F64, [| 2 |] ]
let private body = lazy (fst (Lambda.trace [| vector; vector |] (fun p -> [| sin p[0] * p[1]; p[1] + 1.0 |])))

let private gradient =
    lazy (fst (Lambda.trace (Array.create 4 vector) (fun p -> [| p[2] * cos p[0] * p[1]; p[2] * sin p[0] + p[3] |])))

let private calls: (string * (Random -> Sample)) list =
    let scanned = Number DType.F64, [| 4; 2 |]
    [ "scan", (fun r -> make [ two[0]; scanned; two[0] ] (loop (r.Next 2 = 0)))
      "nested scans",
      (fun r ->
          let v = two[0]
          make [ v; v; v; v; Number DType.F64, [| 3; 2 |]; v; Number DType.F64, [| 2; 2 |] ] (nested (r.Next 2 = 0)))
      "scan of no steps",
      fun _ ->
          make [ two[0]; Number DType.F64, [| 0; 2 |] ] (fun x ->
              let body, _ = Lambda.trace [| vector; vector |] (fun p -> [| p[0] + p[1]; p[1] |])
              Op.scan { Body = body; Captured = 0; Carried = 1; Length = 0; Reverse = false } x)
      "custom", (fun _ -> make two (Op.custom { Name = "f"; Body = body.Value; Gradient = None }))
      "custom with gradient",
      (fun _ -> make two (Op.custom { Name = "f"; Body = body.Value; Gradient = Some gradient.Value }))
      "gradient of custom",
      fun _ ->
          make (two @ two) (fun x ->
              let y = Op.custom { Name = "f"; Body = body.Value; Gradient = Some gradient.Value } x[..1]
              Grad.vjp y x[2..] x[..1])
      "checkpoint", (fun _ -> make two (Op.checkpoint body.Value))
      "gradient of checkpoint",
      fun _ -> make (two @ two) (fun x -> Grad.vjp (Op.checkpoint body.Value x[..1]) x[2..] x[..1]) ]

let private elementwise: (string * (Random -> Sample)) list =
    [ for u in all<Unary> do
          string u, unary u
      for b in all<Binary> do
          string b, binary b
      "select",
      fun r ->
          let s, d = anyShape r, Number(oneOf r every)
          one [ Below(DType.Bool, 2), s; d, s; d, s ] (fun x -> Op.select x[0] x[1] x[2])
      "cast",
      fun r ->
          let d = oneOf r every
          one [ Number(oneOf r every), anyShape r ] (fun x -> Op.cast d x[0])
      "bitCast", fun r -> one [ Number DType.F32, anyShape r ] (fun x -> Op.bitCast DType.U32 x[0])
      "randomBits",
      fun r ->
          let s = anyShape r
          one [ Number DType.U32, [| 2 |] ] (fun x -> Op.randomBits x[0] s)
      "leaves",
      fun _ ->
          make [ Number DType.F32, [| 3 |] ] (fun x ->
              [| x[0]; Op.iota DType.F32 [| 3 |] 0; x[0] + Op.iota DType.F32 [| 3 |] 0; scalar 2.0 |]) ]

let samples = elementwise @ movements @ reductions @ [ "dot", contraction; "conv", convolution ] @ indexing @ calls

let private names = samples |> List.map fst
let private byName = dict samples

[<TestCaseSource(nameof names)>]
let ``batched is the stack of its examples`` (name: string) =
    let isLarge = name.StartsWith "reduce " && name.Contains ' ' && name.Length > 12
    for seed in 0 .. (if isLarge then 0 else 7) do
        let random = Random(1000 + seed)
        check name random [| 3; 2; 0; 1 |].[seed % 4] (byName[name] random)

/// The name of a primitive down to its last union.
let private kind (op: Op) =
    match op with
    | Op.Unary u -> "unary " + Case.name u
    | Op.Binary b -> "binary " + Case.name b
    | Op.Movement m -> Case.name m
    | Op.Reduce(r, _) -> Case.name r
    | Op.Indexing i -> Case.name i
    | other -> Case.name other

[<Test>]
let ``every primitive with operands is among the samples`` () =
    let tested = HashSet<string>()
    for _, sample in samples do
        for seed in 0..7 do
            let s = sample (Random(1000 + seed))
            let xs = s.Operands |> Array.map (fun (e, shape) -> Op.input "x" (typeOf e) shape)
            for t in Graph.topological (s.Function xs) do
                tested.Add(kind t.Op) |> ignore
    let cases prefix (t: Type) =
        FSharpType.GetUnionCases(t, true) |> Array.map (fun c -> prefix + c.Name.ToLowerInvariant())
    let inside = [ "unary"; "binary"; "movement"; "reduce"; "indexing"; "literal"; "parameter" ]
    let wanted =
        Array.concat
            [ cases "" typeof<Op>
              cases "unary " typeof<Unary>
              cases "binary " typeof<Binary>
              cases "" typeof<Movement>
              cases "" typeof<Reduction>
              cases "" typeof<Indexing> ]
    let missing = wanted |> Array.filter (fun n -> not (tested.Contains n || List.contains n inside))
    Assert.That(missing, Is.Empty)

// ------------------------------------------------------------------------------------------------ what stays shared

let private variable shape = Op.input "x" DType.F32 shape
let private opsOf (t: Tensor) = Graph.topological [ t ] |> Array.map (fun n -> n.Op)

[<Test>]
let ``a shared weight makes one product of more rows, not a batched one`` () =
    let x, w = variable [| 8; 5; 16 |], variable [| 16; 4 |]
    let isPlain op =
        match op with
        | Op.Dot d -> Some(d.LeftBatch.Length = 0)
        | _ -> None
    let left = vmap (fun x -> matmul x w) x
    Assert.That(opsOf left |> Array.choose isPlain, Is.EqualTo<bool> [| true |])
    let right = vmap (fun y -> matmul (transpose w) (transpose y)) x
    Assert.That(opsOf right |> Array.choose isPlain, Is.EqualTo<bool> [| true |])

[<Test>]
let ``what does not depend on the batch is not touched`` () =
    let w = variable [| 3; 3 |]
    let costly = tanh (matmul w w)
    let y = vmap (fun x -> matmul x costly) (variable [| 7; 2; 3 |])
    Assert.That(Graph.topological [ y ] |> Array.contains costly)

[<Test>]
let ``images share a kernel, kernels share an image`` () =
    let c =
        { Strides = [| 1 |]
          PadLow = [| 0 |]
          PadHigh = [| 0 |]
          LeftDilation = [| 1 |]
          RightDilation = [| 1 |]
          Groups = 1 }
    let groups (t: Tensor) =
        opsOf t
        |> Array.choose (fun op ->
            match op with
            | Op.Conv v -> Some v.Groups
            | _ -> None)
    let x, w = variable [| 2; 3; 8 |], variable [| 4; 3; 2 |]
    let xs, ws = variable [| 5; 2; 3; 8 |], variable [| 5; 4; 3; 2 |]
    Assert.That(groups (vmap (fun x -> Op.conv c x w) xs), Is.EqualTo<int> [| 1 |])
    Assert.That(groups (vmap (Op.conv c x) ws), Is.EqualTo<int> [| 1 |])
    Assert.That(groups (vmap (fun (x, w) -> Op.conv c x w) (xs, ws)), Is.EqualTo<int> [| 5 |])

[<Test>]
let ``functions keep their names, loops their steps`` () =
    let v = Op.input "x" DType.F64 [| 3; 2 |]
    let f = vmap (fun x -> (Op.custom { Name = "mine"; Body = body.Value; Gradient = None } [| x; x |])[0]) v
    let isMine op =
        match op with
        | Op.Custom c -> c.Name = "mine"
        | _ -> false
    Assert.That(opsOf f |> Array.exists isMine)
    let g = vmap (fun x -> (loop false [| x; f64 [| 4; 2 |] (numbers 1 8); x |])[0]) v
    let lengths op =
        match op with
        | Op.Scan s -> Some s.Length
        | _ -> None
    Assert.That(opsOf g |> Array.choose lengths, Is.EqualTo<int> [| 4 |])

[<Test>]
let ``the gradient of a batched function is the batch of its gradient; shared operands get the sum`` () =
    let f (x: Tensor[]) = Op.custom { Name = "f"; Body = body.Value; Gradient = Some gradient.Value } x
    let shared, many = noise DType.F64 1 [| 2 |], noise DType.F64 2 [| 3; 2 |]
    let weights = [| noise DType.F64 3 [| 3; 2 |]; noise DType.F64 4 [| 3; 2 |] |]
    let row i (t: Tensor) = slice 0 i (i + 1) t |> squeeze 0
    for flip in [ false; true ] do
        let operands x = if flip then [| x; shared |] else [| shared; x |]
        let results = vmap (operands >> f) many
        let whole = Grad.vjp results weights [| shared; many |]
        let each =
            Array.init 3 (fun i ->
                let x = row i many
                Grad.vjp (f (operands x)) (weights |> Array.map (row i)) [| shared; x |])
        assertClose 1e-15 "shared" (interpreted (each[0].[0] + each[1].[0] + each[2].[0])) (interpreted whole[0])
        assertSame "batched" (each |> Array.collect (fun g -> interpreted g[1])) (interpreted whole[1])

// ------------------------------------------------------------------------------------------------ errors

let private fails (message: string) (action: unit -> Tensor) = raises<ShapeException> message (action >> ignore)

[<Test>]
let ``extents that differ are named`` () =
    let x, y = variable [| 3; 2 |], variable [| 4 |]
    fails
        ("vmap: all batch axes must have the same extent (tensor 0: 3, tensor 1: 4), got tensor 0: f32[3,2], tensor 1: f32[4]; "
         + "use vmapAxes to name other axes, or None for what all examples share")
        (fun () -> vmap (fun (a, b) -> a + b) (x, y))
    fails "vmap: every batched tensor must have an axis for the batch, got tensor 1: f32[]; None shares it" (fun () ->
        vmap (fun (a, b) -> a + b) (x, variable [||]))
    fails
        "vmap: there must be 1 axis (for all tensors), 2 (one for each component) or 2 (one for each), got 3"
        (fun () -> vmapAxes [ Some 0; None; None ] 0 (fun (a, b) -> a + b) (x, y))
    fails "vmap: at least one tensor must be batched, got tensor 0: f32[3,2], tensor 1: f32[4]" (fun () ->
        vmapAxes [ None ] 0 (fun (a, b) -> a + b) (x, y))
    fails "vmap (tensor 1): axis 1 must be between -1 and 0, got f32[4]" (fun () ->
        vmapAxes [ Some 0; Some 1 ] 0 (fun (a, b) -> a + b) (x, y))
    fails "vmap (result): axis 1 must be between -1 and 0, got f32[3]" (fun () -> vmapAxes [ Some 0 ] 1 sum x)

[<Test>]
let ``indices out of range are still errors that name index and size`` () =
    let x = f32 [| 5 |] (numbers 1 5)
    let starts = i64 [| 3 |] [ 0L; 3L; 4L ]
    let slice = vmap (fun s -> Op.dynamicSlice [| s |] [| 2 |] x) starts
    let update = vmap (fun s -> Op.dynamicUpdate [| s |] (f32 [| 2 |] [ 1.0; 2.0 ]) x) starts
    let negative = vmap (fun s -> Op.gather 0 0 x (s - 1)) starts
    for run in [ interpreted; computed ] do
        let message (t: Tensor) = Assert.Throws<IndexException>(fun () -> run t |> ignore).Message
        Assert.That(
            message slice,
            Is.EqualTo "gather: index 5 is out of range for an axis of 5 elements (indices run from 0 to 4)"
        )
        Assert.That(
            message update,
            Is.EqualTo "gather: index 4 is out of range for an axis of 4 elements (indices run from 0 to 3)"
        )
        Assert.That(
            message negative,
            Is.EqualTo "gather: index -1 is out of range for an axis of 5 elements (indices run from 0 to 4)"
        )

// ------------------------------------------------------------------------------------------------ trees and axes

[<NoComparison>]
type private Layer = { Weight: Tensor; Bias: Tensor option }

[<Test>]
let ``vmap takes and gives trees`` () =
    let layers =
        { Weight = noise DType.F64 1 [| 3; 2; 2 |]
          Bias = Some(noise DType.F64 2 [| 3; 2 |]) }
    let x = noise DType.F64 3 [| 3; 2 |]
    let apply (l: Layer, x) =
        let y = matmul x l.Weight + Option.get l.Bias
        [ y; sum y ], l.Weight
    let several, weights = vmap apply (layers, x)
    let part i (t: Tensor) = slice 0 i (i + 1) t |> squeeze 0
    for i in 0..2 do
        let one, weight = apply (Tree.map (part i) layers, part i x)
        List.iter2 (fun (y: Tensor) many -> assertSame "y" (interpreted y) (interpreted (part i many))) one several
        assertSame "weight" (interpreted weight) (interpreted (part i weights))

[<Test>]
let ``vmapAxes reads and writes any axis`` () =
    let x, w = noise DType.F64 1 [| 4; 3 |], noise DType.F64 2 [| 4; 2 |]
    let y = vmapAxes [ Some -1; None ] 1 (fun (x, w) -> matmul x w) (x, w)
    Assert.That(y.Shape, Is.EqualTo<int> [| 2; 3 |])
    assertSame "y" (interpreted (transpose (matmul (transpose x) w))) (interpreted y)
    // Two tensors in the first component, both batched along axis 1; the second is shared.
    let f ((a: Tensor, b: Tensor), c: Tensor) = a * b + c
    let z = vmapAxes [ Some 1; None ] 0 f ((x, x), noise DType.F64 3 [| 4 |])
    assertSame "z" (interpreted (transpose x * transpose x + noise DType.F64 3 [| 4 |])) (interpreted z)

// ------------------------------------------------------------------------------------------------ random programs

/// Two literals of a program, batched: each example has the same elements in another order (so that indices stay in range).
let private examples (seed: int) (roots: Tensor[]) (n: int) =
    let random = Random seed
    let literals =
        Graph.topological roots
        |> Array.filter (fun t ->
            match t.Op with
            | Op.Literal _ -> true
            | _ -> false)
        |> Array.sortBy (fun _ -> random.Next())
        |> Array.truncate 2
    let reordered (t: Tensor) =
        let xs = interpreted t
        valueOf t.DType t.Shape (xs |> Array.sortBy (fun _ -> random.Next()))
    literals, Array.init n (fun _ -> literals |> Array.map reordered)

let private substituted (literals: Tensor[]) (values: Tensor[]) (roots: Tensor[]) =
    let replacements = Dictionary<Hash, Tensor>()
    Array.iter2 (fun (l: Tensor) v -> replacements[l.Hash] <- v) literals values
    Substitute.apply replacements roots

let private batchedProgram (seed: int) (roots: Tensor[]) =
    let n = 2
    let literals, draws = examples seed roots n
    if literals.Length = 0 then
        None
    else
        let many k = // literal k of all examples
            let shape = Array.append [| n |] literals[k].Shape
            valueOf literals[k].DType shape (draws |> Array.collect (fun d -> interpreted d[k]))
        let batch = Vmap.vmap n roots literals (Array.init literals.Length many)
        Some(batch, draws |> Array.map (fun d -> substituted literals d roots))

[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Programs> |])>]
type Random() =

    [<Law 60>]
    member _.``a batched program is the stack of its examples``(p: WildProgram) =
        match batchedProgram p.Seed p.Roots with
        | None -> ()
        | Some(batch, alone) ->
            let compiled = Program.withoutRewriting (fun () -> Program.evaluate batch)
            for r in 0 .. batch.Length - 1 do
                let expected = alone |> Array.collect (fun ys -> interpreted ys[r])
                assertSame "interpreted" expected (interpreted batch[r])
                assertSame "compiled" expected (interpreted compiled[r])

    [<Law 40>]
    member _.``a batched program, rewritten, is the stack of its examples within rounding``(p: SmoothProgram) =
        match batchedProgram p.Seed p.Roots with
        | None -> ()
        | Some(batch, alone) ->
            let compiled = Program.evaluate batch
            for r in 0 .. batch.Length - 1 do
                let expected = alone |> Array.collect (fun ys -> interpreted ys[r])
                assertClose 1e-9 "rewritten" expected (interpreted compiled[r])
