/// What random programs are drawn from: shapes, numbers, and the tensors made so far.
module Nanograd.Core.Tests.Pool

open System
open System.Collections.Generic
open FSharp.Reflection
open Nanograd

/// All values of a union without fields, found by reflection: a new case is tested without anybody's help.
let all<'u> : 'u[] = FSharpType.GetUnionCases typeof<'u> |> Array.map (fun c -> FSharpValue.MakeUnion(c, [||]) :?> 'u)

/// What a program may contain.
type Flavour =
    /// Everything, with infinities, NaN, -0, denormals and the ends of integer ranges among the values.
    | Wild
    /// Everything, with values that stay moderate.
    | Tame
    /// Floats of one type and functions that amplify no error: rewriting keeps their values within rounding.
    | Smooth of DType
    /// The same functions of f64, but with infinities, NaN, 0 and -0 among the values.
    | Special
    /// Integers and bools, which no rewriting may change.
    | Whole

let private extents = [| 1; 1; 2; 2; 2; 3; 3; 3; 4; 4; 5; 7; 8; 9; 15; 16; 17; 31; 33; 63; 64; 65; 130 |]
let private long = [| 257; 513; 1000; 4097; 8193 |]

let private special =
    Array.concat
        [ [| 0.0; -0.0; infinity; -infinity; nan; 1.0; -1.0; 0.5; 2.5; -2.5; 255.5; -128.5; 88.8; -104.0 |]
          [| 1e-40; -1e-40; 5e-324; 1e-310; 1e30; 3e38; 1.7e308; 65504.0; 65520.0 |]
          [| 2147483648.0; -2147483649.0; 4294967296.0; 9.3e18; -9.3e18 |] ]

let private edges =
    Array.concat
        [ [| 0L; 1L; -1L; 2L; 7L; 31L; 32L; 33L; 63L; 64L; 127L; 128L; 255L; 256L; 1L <<< 53 |]
          [| Int64.MinValue; Int64.MaxValue; int64 Int32.MinValue; int64 Int32.MaxValue; int64 UInt32.MaxValue |] ]

/// The tensors that a program is made of, and where numbers for it come from.
type Pool(random: Random, flavour: Flavour, limit: int) =
    let pool = List<Tensor>()
    let chance p = random.NextDouble() < p
    let oneOf (xs: 'a[]) = xs[random.Next xs.Length]

    let dtypes =
        match flavour with
        | Wild
        | Tame ->
            Array.concat [ List.toArray DType.all; Array.create 8 DType.F32; [| DType.F64; DType.I64; DType.I32 |] ]
        | Smooth d -> [| d |]
        | Special -> [| DType.F64 |]
        | Whole -> DType.all |> List.filter (DType.isFloat >> not) |> List.toArray

    let shrunk (shape: int[]) =
        let shape = Array.copy shape
        while Array.fold (fun n e -> n * int64 e) 1L shape > int64 limit do
            let largest = Array.IndexOf(shape, Array.max shape)
            shape[largest] <- max 1 (shape[largest] / 3)
        shape

    let newShape () =
        let shape = Array.init (oneOf [| 0; 1; 1; 2; 2; 2; 2; 3; 3; 3; 4 |]) (fun _ -> oneOf extents)
        if shape.Length > 0 && chance 0.1 then shape[random.Next shape.Length] <- oneOf long
        if shape.Length > 0 && chance 0.03 then shape[random.Next shape.Length] <- 0
        shrunk shape

    let newNumber dtype =
        if DType.isFloat dtype then
            match flavour with
            | Special when chance 0.15 ->
                Constant.ofFloat dtype (oneOf [| infinity; -infinity; nan; 0.0; -0.0; 1.0; -1.0 |])
            | Wild when chance 0.3 -> Constant.ofFloat dtype (oneOf special)
            | Wild -> Constant.ofFloat dtype ((random.NextDouble() - 0.5) * Math.Pow(10.0, float (random.Next(-6, 7))))
            | Tame when chance 0.1 -> Constant.ofFloat dtype (float (random.Next(-4, 5)) / 2.0)
            | _ -> Constant.ofFloat dtype (random.NextDouble() * 4.0 - 2.0)
        else
            match flavour with
            | (Wild | Whole) when chance 0.3 -> Constant.ofInt dtype (oneOf edges)
            | Wild
            | Whole -> Constant.ofInt dtype (random.NextInt64() >>> random.Next 64)
            | _ -> Constant.ofInt dtype (int64 (random.Next(-9, 10)))

    let literal dtype shape = valueOf dtype shape (Array.init (Shape.count shape) (fun _ -> newNumber dtype))

    let leaf dtype shape =
        match random.Next 8 with
        | 0 -> Op.broadcast shape (Op.constant (newNumber dtype))
        | 1 when shape.Length > 0 && dtype <> DType.Bool && DType.arithmetic dtype = dtype ->
            Op.iota dtype shape (random.Next shape.Length)
        | _ -> literal dtype shape

    /// A tensor of the pool, the newest more often.
    let pick () =
        if chance 0.5 then pool[pool.Count - 1 - random.Next(min 4 pool.Count)] else pool[random.Next pool.Count]

    let pickWhere (f: Tensor -> bool) =
        let fitting = pool |> Seq.filter f |> Seq.toArray
        if fitting.Length = 0 then None else Some(oneOf fitting)

    let pickFloat () =
        match pickWhere (fun t -> DType.isFloat t.DType) with
        | Some t -> t
        | None -> literal (oneOf [| DType.F32; DType.F64 |]) (newShape ())

    /// Something that broadcasts with x: of its shape, of some of its axes, or a scalar.
    let partner (x: Tensor) =
        let fits (t: Tensor) =
            match Shape.tryBroadcast t.Shape x.Shape with
            | Ok s -> Shape.count s <= 2 * limit
            | Error _ -> false
        match (if chance 0.5 then pickWhere (fun t -> fits t && (t.Rank > 0 || chance 0.2)) else None) with
        | Some t -> t
        | None ->
            let dtype = if chance 0.8 then x.DType else oneOf dtypes
            let shape = x.Shape |> Array.map (fun e -> if chance 0.25 then 1 else e)
            leaf dtype (if shape.Length > 0 && chance 0.2 then shape[1 + random.Next shape.Length ..] else shape)

    let isSmooth =
        match flavour with
        | Smooth _
        | Special -> true
        | _ -> false

    member _.Random = random
    member _.Flavour = flavour
    /// The most elements that a leaf may have.
    member _.Limit = limit
    member _.Types = dtypes
    member _.Tensors = pool
    member _.Chance(p: float) = chance p
    member _.OneOf(xs: 'a[]) = oneOf xs
    /// An extent, small and around the widths of vectors.
    member _.Extent() = oneOf extents
    /// The shape, cut down to the limit.
    member _.Shrunk(shape: int[]) = shrunk shape
    member _.NewShape() = newShape ()
    member _.NewNumber(dtype: DType) = newNumber dtype
    member _.Leaf(dtype: DType, shape: int[]) : Tensor = leaf dtype shape
    member _.Literal(dtype: DType, shape: int[]) = literal dtype shape
    member _.Pick() = pick ()
    member _.PickWhere(f: Tensor -> bool) = pickWhere f
    member _.PickFloat() = pickFloat ()
    member _.Partner(x: Tensor) = partner x
    /// True where rounding errors must stay small.
    member _.IsSmooth = isSmooth
