namespace Nanograd.Simd

open System.Collections.Generic
open Nanograd

/// One machine operation per lane: what kernels consist of after every function of the language has been written out.
[<RequireQualifiedAccess>]
type internal MicroOp =
    /// The bits of a number of the node's type.
    | Constant of uint64
    /// A value of the nest that is the same for the whole row, or was saved by an earlier pass over it.
    | Row of value: int
    | Saved of value: int
    | Scalar of int
    | Load of argument: int
    | LoadAt of argument: int * Lookup[] // inputs: the indices
    | Count of argument: int
    | Add
    | Sub
    | Mul
    | Div
    | Fma
    | Neg
    | Abs
    | Sqrt
    | Floor
    | Ceil
    | Round
    /// IEEE maximum and minimum: NaN wins, -0 is below 0.
    | Max
    | Min
    /// The second operand unless the comparison holds: what processors call min and max.
    | MaxSecond
    | MinSecond
    | And
    | Or
    | Xor
    | Not
    | ShiftLeft of int
    | ShiftRight of int
    | ShiftRightSigned of int
    | Equal
    | Less
    | LessEqual
    | Select
    | Convert
    | Reinterpret
    /// A function of the scalar runtime (Runtime.fs); nests that need one run without vectors.
    | Call of name: string

[<NoComparison>]
type internal Micro = { Op: MicroOp; Type: DType; Inputs: int[] }

/// Builds straight-line code, sharing equal operations.
[<Sealed>]
type internal MicroBuilder() =
    let code = List<Micro>()
    let known = Dictionary<struct (MicroOp * DType * int * int * int), int>()

    member _.Code = code

    member _.Add(op: MicroOp, dtype: DType, [<System.ParamArray>] inputs: int[]) : int =
        let at i = if i < inputs.Length then inputs[i] else -1
        let key = struct (op, dtype, at 0, at 1, at 2)
        match known.TryGetValue key with
        | true, i when inputs.Length <= 3 -> i
        | _ ->
            code.Add { Op = op; Type = dtype; Inputs = inputs }
            known[key] <- code.Count - 1
            code.Count - 1

    member b.Number(dtype: DType, x: float) =
        let c = Constant.ofFloat dtype x
        let bits =
            match dtype with
            | DType.F32
            | DType.F16
            | DType.BF16 -> uint64 (System.BitConverter.SingleToUInt32Bits(float32 c.Float))
            | DType.F64 -> c.Bits
            | DType.I64
            | DType.I32
            | DType.U32
            | DType.U8
            | DType.I8
            | DType.Bool -> uint64 c.Int
        b.Add(MicroOp.Constant bits, dtype)

/// The elementary functions written out as machine operations: the instance of Arithmetic that builds code.
[<Sealed>]
type internal CodeArithmetic(b: MicroBuilder, isDouble: bool) =
    inherit Arithmetic<int, int, int>()
    let f = if isDouble then DType.F64 else DType.F32
    let i = if isDouble then DType.I64 else DType.I32
    override _.Double = isDouble
    override _.Const value = b.Number(f, value)
    override _.Add(x, y) = b.Add(MicroOp.Add, f, x, y)
    override _.Sub(x, y) = b.Add(MicroOp.Sub, f, x, y)
    override _.Mul(x, y) = b.Add(MicroOp.Mul, f, x, y)
    override _.Div(x, y) = b.Add(MicroOp.Div, f, x, y)
    override _.Fma(x, y, z) = b.Add(MicroOp.Fma, f, x, y, z)
    override _.Abs x = b.Add(MicroOp.Abs, f, x)
    override _.Sqrt x = b.Add(MicroOp.Sqrt, f, x)
    override _.Min(x, y) = b.Add(MicroOp.MinSecond, f, x, y)
    override _.Max(x, y) = b.Add(MicroOp.MaxSecond, f, x, y)
    override _.Less(x, y) = b.Add(MicroOp.Less, DType.Bool, x, y)
    override _.Equal(x, y) = b.Add(MicroOp.Equal, DType.Bool, x, y)
    override _.Select(c, x, y) = b.Add(MicroOp.Select, f, c, x, y)
    override _.Bits x = b.Add(MicroOp.Reinterpret, i, x)
    override _.OfBits n = b.Add(MicroOp.Reinterpret, f, n)
    override _.IntConst value = b.Add(MicroOp.Constant(if isDouble then uint64 value else uint64 (uint32 value)), i)
    override _.IntAdd(m, n) = b.Add(MicroOp.Add, i, m, n)
    override _.IntSub(m, n) = b.Add(MicroOp.Sub, i, m, n)
    override _.IntAnd(m, n) = b.Add(MicroOp.And, i, m, n)
    override _.IntOr(m, n) = b.Add(MicroOp.Or, i, m, n)
    override _.IntXor(m, n) = b.Add(MicroOp.Xor, i, m, n)
    override _.ShiftLeft(n, count) = b.Add(MicroOp.ShiftLeft count, i, n)
    override _.ShiftRight(n, count) = b.Add(MicroOp.ShiftRight count, i, n)

/// Values of a nest as machine operations.
[<RequireQualifiedAccess>]
module internal Micro =
    let private isUnsigned (d: DType) = d = DType.U32 || d = DType.U8

    let private zero (b: MicroBuilder) dtype = b.Number(dtype, 0.0)

    let private negate (b: MicroBuilder) (x: int) = b.Add(MicroOp.Not, DType.Bool, x)

    let isConstant (m: Micro) =
        match m.Op with
        | MicroOp.Constant _ -> true
        | _ -> false

    /// How many values of straight-line code are alive at once, at most, beside those of the whole row.
    let alive (code: Micro[]) (roots: int[]) =
        let last = Array.init code.Length id
        for i in 0 .. code.Length - 1 do
            for o in code[i].Inputs do
                last[o] <- i
        for r in roots do
            last[r] <- code.Length
        let needsRegister (m: Micro) =
            match m.Op with
            | MicroOp.Constant _
            | MicroOp.Row _
            | MicroOp.Scalar _ -> false
            | _ -> true
        let mutable most = 0
        let ends = Array.zeroCreate<int>(code.Length + 1)
        let mutable now = 0
        for i in 0 .. code.Length - 1 do
            now <- now - ends[i]
            if needsRegister code[i] && last[i] > i then
                now <- now + 1
                ends[last[i]] <- ends[last[i]] + 1
            most <- max most now
        most

    /// A function of one value.
    let unary (b: MicroBuilder) (u: Unary) (t: DType) (x: int) : int =
        let arithmetic () = CodeArithmetic(b, (t = DType.F64))
        let own op = b.Add(op, t, x)
        match u with
        | Unary.Neg -> own MicroOp.Neg
        | Unary.Abs -> if isUnsigned t then x else own MicroOp.Abs
        | Unary.Sign ->
            let z = zero b t
            let above, below = b.Add(MicroOp.Less, DType.Bool, z, x), b.Add(MicroOp.Less, DType.Bool, x, z)
            b.Add(MicroOp.Select, t, above, b.Number(t, 1.0), b.Add(MicroOp.Select, t, below, b.Number(t, -1.0), z))
        | Unary.Exp -> Scalar.exp (arithmetic ()) x
        | Unary.Log -> Scalar.log (arithmetic ()) x
        | Unary.Log1p -> Scalar.log1p (arithmetic ()) x
        | Unary.Expm1 -> Scalar.expm1 (arithmetic ()) x
        | Unary.Sqrt -> own MicroOp.Sqrt
        | Unary.Rsqrt -> b.Add(MicroOp.Div, t, b.Number(t, 1.0), own MicroOp.Sqrt)
        | Unary.Sin -> Scalar.sin (arithmetic ()) x
        | Unary.Cos -> Scalar.cos (arithmetic ()) x
        | Unary.Atan -> Scalar.atan (arithmetic ()) x
        | Unary.Tanh -> Scalar.tanh (arithmetic ()) x
        | Unary.Erf -> Scalar.erf (arithmetic ()) x
        | Unary.Floor -> own MicroOp.Floor
        | Unary.Ceil -> own MicroOp.Ceil
        | Unary.Round -> own MicroOp.Round
        | Unary.Not -> own MicroOp.Not

    /// A function of two values of type `t`; `count` is the second one if it is a number known now.
    let binary (b: MicroBuilder) (op: Binary) (t: DType) (x: int) (y: int) (count: Constant voption) : int =
        let own op = b.Add(op, t, x, y)
        let test op x y = b.Add(op, DType.Bool, x, y)
        let shift (left: bool) =
            let width = 8 * DType.size t
            match count with
            | ValueSome c when c.Int >= 0L && c.Int < int64 width ->
                if left then b.Add(MicroOp.ShiftLeft(int c.Int), t, x)
                elif isUnsigned t then b.Add(MicroOp.ShiftRight(int c.Int), t, x)
                else b.Add(MicroOp.ShiftRightSigned(int c.Int), t, x)
            | _ -> own (MicroOp.Call(if left then "Shl" else "Shr"))
        // true is 1 in scalars and all ones in masks: only logic is the same on both.
        let below strict x y =
            if t = DType.Bool then
                b.Add((if strict then MicroOp.And else MicroOp.Or), DType.Bool, negate b x, y)
            else
                test (if strict then MicroOp.Less else MicroOp.LessEqual) x y
        match op with
        | Binary.Add -> own MicroOp.Add
        | Binary.Sub -> own MicroOp.Sub
        | Binary.Mul -> own MicroOp.Mul
        | Binary.Div -> if DType.isFloat t then own MicroOp.Div else own (MicroOp.Call "Div")
        | Binary.Pow -> own (MicroOp.Call "Pow")
        | Binary.Max -> own MicroOp.Max
        | Binary.Min -> own MicroOp.Min
        | Binary.Rem -> own (MicroOp.Call "Rem")
        | Binary.Eq -> test MicroOp.Equal x y
        | Binary.Ne -> negate b (test MicroOp.Equal x y)
        | Binary.Lt -> below true x y
        | Binary.Le -> below false x y
        | Binary.Gt -> below true y x
        | Binary.Ge -> below false y x
        | Binary.And -> own MicroOp.And
        | Binary.Or -> own MicroOp.Or
        | Binary.Xor -> own MicroOp.Xor
        | Binary.Shl -> shift true
        | Binary.Shr -> shift false

    /// A conversion between types.
    let cast (b: MicroBuilder) (source: DType) (target: DType) (x: int) : int =
        if target = DType.Bool then negate b (b.Add(MicroOp.Equal, DType.Bool, x, zero b source))
        elif source = DType.Bool then b.Add(MicroOp.Select, target, x, b.Number(target, 1.0), zero b target)
        else b.Add(MicroOp.Convert, target, x)

    /// Threefry2x32-20, the two words xored (Salmon et al. 2011).
    let randomBits (b: MicroBuilder) (key0: int) (key1: int) (counter: int) : int =
        let u = DType.U32
        let words =
            { new Words<int>() with
                member _.Const value = b.Add(MicroOp.Constant(uint64 value), u)
                member _.Add(x, y) = b.Add(MicroOp.Add, u, x, y)
                member _.Xor(x, y) = b.Add(MicroOp.Xor, u, x, y)
                member _.RotateLeft(x, count) =
                    b.Add(
                        MicroOp.Or,
                        u,
                        b.Add(MicroOp.ShiftLeft count, u, x),
                        b.Add(MicroOp.ShiftRight(32 - count), u, x)
                    ) }
        let struct (x0, x1) = Threefry.block words (struct (key0, key1)) (struct (counter, b.Number(u, 0.0)))
        b.Add(MicroOp.Xor, u, x0, x1)

    /// The operations of one section of a nest (its row part, or one pass over the elements). `reach` says of a value whether it is
    /// computed here or comes from elsewhere.
    let build (n: Nest) (reach: int -> MicroOp voption) (roots: int[]) : struct (Micro[] * int[]) =
        let b = MicroBuilder()
        let made = Dictionary<int, int>()
        let constantOf v =
            match n.Values[v].Term with
            | Term.Fixed c -> ValueSome c
            | _ -> ValueNone
        let rec value (v: int) : int =
            match made.TryGetValue v with
            | true, m -> m
            | _ ->
                let t = n.Values[v].DType
                let m =
                    match reach v with
                    | ValueSome op -> b.Add(op, t)
                    | ValueNone ->
                        match n.Values[v].Term with
                        | Term.Scalar i -> b.Add(MicroOp.Scalar i, t)
                        | Term.Fixed c -> b.Number(t, float c.Int)
                        | Term.Load a -> b.Add(MicroOp.Load a, t)
                        | Term.LoadAt(a, lookups) ->
                            let indices = lookups |> Array.map (fun l -> value l.Index)
                            b.Add(MicroOp.LoadAt(a, lookups), t, indices)
                        | Term.Count a -> b.Add(MicroOp.Count a, t)
                        | Term.Unary(u, x) -> unary b u t (value x)
                        | Term.Binary(op, x, y) -> binary b op n.Values[x].DType (value x) (value y) (constantOf y)
                        | Term.Select(c, x, y) -> b.Add(MicroOp.Select, t, value c, value x, value y)
                        | Term.Cast x -> cast b n.Values[x].DType t (value x)
                        | Term.BitCast x -> b.Add(MicroOp.Reinterpret, t, value x)
                        | Term.RandomBits(x, y, c) -> randomBits b (value x) (value y) (value c)
                        | Term.Reduced _ -> invalidOp "a reduction is not an operation of a section"
                made[v] <- m
                m
        let roots = roots |> Array.map value
        struct (b.Code.ToArray(), roots)
