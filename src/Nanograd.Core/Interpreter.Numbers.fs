namespace Nanograd

open System
open System.Numerics

/// How a two-argument function computes: a number of the operands' type, or a truth value.
[<NoEquality; NoComparison>]
type internal Row<'T> =
    | Value of ('T -> 'T -> 'T)
    | Test of ('T -> 'T -> bool)

/// How a reduction folds: the value it starts with, and what it gives when there is nothing to fold.
[<NoEquality; NoComparison>]
type internal Folding<'T> = { Combine: 'T -> 'T -> 'T; Identity: 'T; Empty: 'T }

/// What can be computed on the numbers of one type: the scalar meaning of every elementwise function.
[<NoEquality; NoComparison>]
type internal Numbers<'T> =
    { Unary: Unary -> 'T -> 'T
      Binary: Binary -> Row<'T>
      Folding: Reduction -> Folding<'T>
      MultiplyAdd: 'T -> 'T -> 'T -> 'T
      Add: 'T -> 'T -> 'T
      Zero: 'T }

/// Something to do with elements of whatever type.
type internal OnElements<'R> =
    abstract Of<'T when 'T: unmanaged> : unit -> 'R

/// Something to do with numbers of whatever type.
type internal OnNumbers<'R> =
    abstract Of<'T when 'T: unmanaged> : Numbers<'T> -> 'R

/// The scalar tables. A row that a type does not have raises when it is looked up, and says so.
[<RequireQualifiedAccess>]
module internal Numbers =
    let private absent (f: obj) (types: string) : 'a =
        let message = $"{(string f).ToLowerInvariant()} is not defined on {types}; the constructors of Op insert casts"
        raise (InvalidOperationException message)

    // F#'s own comparisons are not those of IEEE on generic types, so the types' operators are called by name.
    let private eq<'T when 'T :> INumber<'T>> (x: 'T) (y: 'T) = 'T.op_Equality (x, y)
    let private lt<'T when 'T :> INumber<'T>> (x: 'T) (y: 'T) = 'T.op_LessThan (x, y)
    let private le<'T when 'T :> INumber<'T>> (x: 'T) (y: 'T) = 'T.op_LessThanOrEqual (x, y)

    // ---- floats

    let private floatUnary<'T, 'I, 'B when 'T :> IFloatingPointIeee754<'T>>
        (a: Arithmetic<'T, 'I, 'B>)
        (u: Unary)
        : 'T -> 'T =
        match u with
        | Unary.Neg -> fun x -> -x
        | Unary.Abs -> fun x -> 'T.Abs x
        | Unary.Sign ->
            fun x ->
                if lt 'T.Zero x then 'T.One
                elif lt x 'T.Zero then 'T.NegativeOne
                else 'T.Zero
        | Unary.Exp -> fun x -> Scalar.exp a x
        | Unary.Log -> fun x -> Scalar.log a x
        | Unary.Log1p -> fun x -> Scalar.log1p a x
        | Unary.Expm1 -> fun x -> Scalar.expm1 a x
        | Unary.Sqrt -> fun x -> 'T.Sqrt x
        | Unary.Rsqrt -> fun x -> 'T.One / 'T.Sqrt x
        | Unary.Sin -> fun x -> Scalar.sin a x
        | Unary.Cos -> fun x -> Scalar.cos a x
        | Unary.Atan -> fun x -> Scalar.atan a x
        | Unary.Tanh -> fun x -> Scalar.tanh a x
        | Unary.Erf -> fun x -> Scalar.erf a x
        | Unary.Floor -> fun x -> 'T.Floor x
        | Unary.Ceil -> fun x -> 'T.Ceiling x
        | Unary.Round -> fun x -> 'T.Round(x, MidpointRounding.ToEven)
        | Unary.Not -> absent u "floats"

    let private floatBinary<'T when 'T :> IFloatingPointIeee754<'T>> (pow: 'T -> 'T -> 'T) (b: Binary) : Row<'T> =
        match b with
        | Binary.Add -> Value(fun x y -> x + y)
        | Binary.Sub -> Value(fun x y -> x - y)
        | Binary.Mul -> Value(fun x y -> x * y)
        | Binary.Div -> Value(fun x y -> x / y)
        | Binary.Pow -> Value pow
        | Binary.Max -> Value(fun x y -> 'T.Max(x, y))
        | Binary.Min -> Value(fun x y -> 'T.Min(x, y))
        | Binary.Rem -> Value(fun x y -> x % y)
        | Binary.Eq -> Test eq
        | Binary.Ne -> Test(fun x y -> not (eq x y))
        | Binary.Lt -> Test lt
        | Binary.Le -> Test le
        | Binary.Gt -> Test(fun x y -> lt y x)
        | Binary.Ge -> Test(fun x y -> le y x)
        | Binary.And
        | Binary.Or
        | Binary.Xor
        | Binary.Shl
        | Binary.Shr -> absent b "floats"

    // Sums start from -0, which changes no number (+0 would turn -0 into +0); a sum of nothing is +0 all the same.
    let private floatFolding<'T when 'T :> IFloatingPointIeee754<'T>> (r: Reduction) : Folding<'T> =
        match r with
        | Reduction.Sum -> { Combine = (fun x y -> x + y); Identity = 'T.NegativeZero; Empty = 'T.Zero }
        | Reduction.Prod -> { Combine = (fun x y -> x * y); Identity = 'T.One; Empty = 'T.One }
        | Reduction.Max ->
            { Combine = (fun x y -> 'T.Max(x, y))
              Identity = 'T.NegativeInfinity
              Empty = 'T.NegativeInfinity }
        | Reduction.Min ->
            { Combine = (fun x y -> 'T.Min(x, y))
              Identity = 'T.PositiveInfinity
              Empty = 'T.PositiveInfinity }

    let private floats<'T, 'I, 'B when 'T :> IFloatingPointIeee754<'T>>
        (a: Arithmetic<'T, 'I, 'B>)
        (pow: 'T -> 'T -> 'T)
        : Numbers<'T> =
        { Unary = floatUnary a
          Binary = floatBinary pow
          Folding = floatFolding
          MultiplyAdd = fun x y z -> 'T.FusedMultiplyAdd(x, y, z)
          Add = fun (x: 'T) (y: 'T) -> x + y
          Zero = 'T.Zero }

    // ---- integers (all operators of .NET's integers wrap around, except where a row says otherwise)

    let private integerUnary<'T when 'T :> IBinaryInteger<'T>> (u: Unary) : 'T -> 'T =
        match u with
        | Unary.Neg -> fun x -> 'T.Zero - x
        | Unary.Abs -> fun x -> if 'T.IsNegative x then 'T.Zero - x else x
        | Unary.Sign ->
            fun x ->
                if eq x 'T.Zero then x
                elif 'T.IsNegative x then 'T.Zero - 'T.One
                else 'T.One
        | Unary.Not -> fun x -> 'T.op_OnesComplement x
        | Unary.Exp
        | Unary.Log
        | Unary.Log1p
        | Unary.Expm1
        | Unary.Sqrt
        | Unary.Rsqrt
        | Unary.Sin
        | Unary.Cos
        | Unary.Atan
        | Unary.Tanh
        | Unary.Erf
        | Unary.Floor
        | Unary.Ceil
        | Unary.Round -> absent u "integers"

    let private isMinusOne<'T when 'T :> IBinaryInteger<'T>> (x: 'T) = 'T.IsNegative x && eq (x + 'T.One) 'T.Zero

    // Division by -1 is a row of its own because .NET raises on MinValue / -1.
    let private quotient<'T when 'T :> IBinaryInteger<'T>> (x: 'T) (y: 'T) =
        if eq y 'T.Zero then 'T.Zero
        elif isMinusOne y then 'T.Zero - x
        else x / y

    let private remainder<'T when 'T :> IBinaryInteger<'T>> (x: 'T) (y: 'T) =
        if eq y 'T.Zero || isMinusOne y then 'T.Zero else x % y

    let rec private power<'T when 'T :> IBinaryInteger<'T>> (x: 'T) (y: 'T) : 'T =
        if 'T.IsNegative y then
            if eq x 'T.One || (isMinusOne x && 'T.IsEvenInteger y) then 'T.One
            elif isMinusOne x then x
            else 'T.Zero
        elif eq y 'T.Zero then
            'T.One
        else
            let half = power (x * x) (y >>> 1)
            if 'T.IsEvenInteger y then half else x * half

    let private shift<'T when 'T: unmanaged and 'T :> IBinaryInteger<'T>>
        (beyond: 'T -> 'T)
        (within: 'T -> int -> 'T)
        (x: 'T)
        (y: 'T)
        =
        let width = 8 * sizeof<'T>
        if 'T.IsNegative y || le ('T.CreateTruncating width) y then beyond x else within x (Int32.CreateTruncating y)

    let private integerBinary<'T when 'T: unmanaged and 'T :> IBinaryInteger<'T>> (b: Binary) : Row<'T> =
        match b with
        | Binary.Add -> Value(fun x y -> x + y)
        | Binary.Sub -> Value(fun x y -> x - y)
        | Binary.Mul -> Value(fun x y -> x * y)
        | Binary.Div -> Value quotient
        | Binary.Pow -> Value power
        | Binary.Max -> Value(fun x y -> 'T.Max(x, y))
        | Binary.Min -> Value(fun x y -> 'T.Min(x, y))
        | Binary.Rem -> Value remainder
        | Binary.Eq -> Test eq
        | Binary.Ne -> Test(fun x y -> not (eq x y))
        | Binary.Lt -> Test lt
        | Binary.Le -> Test le
        | Binary.Gt -> Test(fun x y -> lt y x)
        | Binary.Ge -> Test(fun x y -> le y x)
        | Binary.And -> Value(fun x y -> x &&& y)
        | Binary.Or -> Value(fun x y -> x ||| y)
        | Binary.Xor -> Value(fun x y -> x ^^^ y)
        | Binary.Shl -> Value(shift (fun _ -> 'T.Zero) (fun x n -> x <<< n))
        | Binary.Shr ->
            let sign x = if 'T.IsNegative x then 'T.op_OnesComplement 'T.Zero else 'T.Zero
            Value(shift sign (fun x n -> x >>> n))

    let private integerFolding<'T when 'T :> IBinaryInteger<'T> and 'T :> IMinMaxValue<'T>>
        (r: Reduction)
        : Folding<'T> =
        match r with
        | Reduction.Sum -> { Combine = (fun x y -> x + y); Identity = 'T.Zero; Empty = 'T.Zero }
        | Reduction.Prod -> { Combine = (fun x y -> x * y); Identity = 'T.One; Empty = 'T.One }
        | Reduction.Max ->
            { Combine = (fun x y -> 'T.Max(x, y))
              Identity = 'T.MinValue
              Empty = 'T.MinValue }
        | Reduction.Min ->
            { Combine = (fun x y -> 'T.Min(x, y))
              Identity = 'T.MaxValue
              Empty = 'T.MaxValue }

    let private integers<'T when 'T: unmanaged and 'T :> IBinaryInteger<'T> and 'T :> IMinMaxValue<'T>>
        ()
        : Numbers<'T> =
        { Unary = integerUnary
          Binary = integerBinary
          Folding = integerFolding
          MultiplyAdd = fun (x: 'T) (y: 'T) (z: 'T) -> (x * y: 'T) + z
          Add = fun (x: 'T) (y: 'T) -> x + y
          Zero = 'T.Zero }

    // ---- truth values, bytes 0 and 1

    let private boolUnary (u: Unary) : byte -> byte =
        match u with
        | Unary.Not -> fun x -> 1uy - x
        | Unary.Neg
        | Unary.Abs
        | Unary.Sign
        | Unary.Exp
        | Unary.Log
        | Unary.Log1p
        | Unary.Expm1
        | Unary.Sqrt
        | Unary.Rsqrt
        | Unary.Sin
        | Unary.Cos
        | Unary.Atan
        | Unary.Tanh
        | Unary.Erf
        | Unary.Floor
        | Unary.Ceil
        | Unary.Round -> absent u "bool"

    let private boolBinary (b: Binary) : Row<byte> =
        match b with
        | Binary.Eq
        | Binary.Ne
        | Binary.Lt
        | Binary.Le
        | Binary.Gt
        | Binary.Ge -> integerBinary b
        | Binary.And
        | Binary.Or
        | Binary.Xor -> integerBinary b
        | Binary.Add
        | Binary.Sub
        | Binary.Mul
        | Binary.Div
        | Binary.Pow
        | Binary.Max
        | Binary.Min
        | Binary.Rem
        | Binary.Shl
        | Binary.Shr -> absent b "bool"

    let private bools: Numbers<byte> =
        { integers<byte>() with
            Unary = boolUnary
            Binary = boolBinary
            Folding = fun r -> absent r "bool" }

    // ---- the types

    /// Numbers of type f64.
    let double: Numbers<float> = floats Scalar.double (fun x y -> Math.Pow(x, y))

    /// Numbers of type f32.
    let single: Numbers<float32> = floats Scalar.single (fun x y -> float32 (Math.Pow(float x, float y)))

    let private i64 = integers<int64>()
    let private i32 = integers<int32>()
    let private u32 = integers<uint32>()
    let private u8 = integers<byte>()
    let private i8 = integers<sbyte>()

    /// Does something with the numbers of an arithmetic type (or bool, which has comparisons and logic only).
    let on (d: DType) (action: OnNumbers<'R>) : 'R =
        match d with
        | DType.F64 -> action.Of double
        | DType.F32 -> action.Of single
        | DType.I64 -> action.Of i64
        | DType.I32 -> action.Of i32
        | DType.U32 -> action.Of u32
        | DType.U8 -> action.Of u8
        | DType.I8 -> action.Of i8
        | DType.Bool -> action.Of bools
        | DType.F16
        | DType.BF16 ->
            let message = $"arithmetic on {d} is done in f32; the constructors of Op insert casts"
            raise (InvalidOperationException message)

/// Elements in widest form: every float is a double, everything else an int64, and both exactly.
type internal Wide =
    | Floats of float[]
    | Integers of int64[]

/// Values in the interpreter are plain .NET arrays of the type below; bool is byte, bf16 is uint16.
[<RequireQualifiedAccess>]
module internal Elements =
    /// Does something with elements of the .NET type that holds `d`.
    let on (d: DType) (action: OnElements<'R>) : 'R =
        match d with
        | DType.F64 -> action.Of<float>()
        | DType.F32 -> action.Of<float32>()
        | DType.F16 -> action.Of<Half>()
        | DType.BF16 -> action.Of<uint16>()
        | DType.I64 -> action.Of<int64>()
        | DType.I32 -> action.Of<int32>()
        | DType.U32 -> action.Of<uint32>()
        | DType.U8 -> action.Of<byte>()
        | DType.I8 -> action.Of<sbyte>()
        | DType.Bool -> action.Of<byte>()

    /// The elements of a storage.
    let ofStorage (s: Storage) : Array =
        on
            s.DType
            { new OnElements<Array> with
                member _.Of<'T when 'T: unmanaged>() =
                    let copy = (Buffers.span<'T> s).ToArray()
                    GC.KeepAlive s // the span does not keep the memory
                    copy }

    /// A storage of the elements.
    let toStorage (d: DType) (x: Array) : Storage =
        on
            d
            { new OnElements<Storage> with
                member _.Of<'T when 'T: unmanaged>() = Buffers.ofSpan d (ReadOnlySpan(x :?> 'T[])) }

    /// Elements in widest form, exactly.
    let widen (d: DType) (x: Array) : Wide =
        match d with
        | DType.F64 -> Floats(x :?> float[])
        | DType.F32 -> Floats(x :?> float32[] |> Array.map float)
        | DType.F16 -> Floats(x :?> Half[] |> Array.map Half.op_Explicit)
        | DType.BF16 -> Floats(x :?> uint16[] |> Array.map (Constant.ofBfloat16Bits >> float))
        | DType.I64 -> Integers(x :?> int64[])
        | DType.I32 -> Integers(x :?> int32[] |> Array.map int64)
        | DType.U32 -> Integers(x :?> uint32[] |> Array.map int64)
        | DType.U8 -> Integers(x :?> byte[] |> Array.map int64)
        | DType.I8 -> Integers(x :?> sbyte[] |> Array.map int64)
        | DType.Bool -> Integers(x :?> byte[] |> Array.map int64)

    // Float to integer: truncated, clamped to the type's range, NaN is 0.
    let private saturate<'T when 'T :> IBinaryInteger<'T>> (xs: float[]) : Array =
        xs |> Array.map (fun x -> if Double.IsNaN x then 'T.Zero else 'T.CreateSaturating x) :> Array

    let private bit (b: bool) = if b then 1uy else 0uy

    /// The meaning of Cast: elements of type `d` from elements in widest form.
    let narrow (d: DType) (x: Wide) : Array =
        match x with
        | Floats xs ->
            match d with
            | DType.F64 -> xs
            | DType.F32 -> xs |> Array.map float32 :> Array
            | DType.F16 -> xs |> Array.map (fun x -> Half.op_Explicit x: Half) :> Array
            | DType.BF16 -> xs |> Array.map (float32 >> Constant.bfloat16Bits) :> Array
            | DType.I64 -> saturate<int64> xs
            | DType.I32 -> saturate<int32> xs
            | DType.U32 -> saturate<uint32> xs
            | DType.U8 -> saturate<byte> xs
            | DType.I8 -> saturate<sbyte> xs
            | DType.Bool -> xs |> Array.map (fun x -> bit (not (x = 0.0))) :> Array
        | Integers xs ->
            match d with
            | DType.F64 -> xs |> Array.map float :> Array
            | DType.F32 -> xs |> Array.map float32 :> Array
            | DType.F16 -> xs |> Array.map (fun x -> Half.op_Explicit (float32 x): Half) :> Array
            | DType.BF16 -> xs |> Array.map (float32 >> Constant.bfloat16Bits) :> Array
            | DType.I64 -> xs
            | DType.I32 -> xs |> Array.map int32 :> Array
            | DType.U32 -> xs |> Array.map uint32 :> Array
            | DType.U8 -> xs |> Array.map byte :> Array
            | DType.I8 -> xs |> Array.map sbyte :> Array
            | DType.Bool -> xs |> Array.map (fun x -> bit (x <> 0L)) :> Array

    /// The elements at `places`.
    let pick (d: DType) (x: Array) (places: int[]) : Array =
        on
            d
            { new OnElements<Array> with
                member _.Of<'T when 'T: unmanaged>() =
                    let xs = x :?> 'T[]
                    places |> Array.map (fun p -> xs[p]) :> Array }

    /// A copy of `x` with the elements of `y` written at `places`, in order.
    let put (d: DType) (x: Array) (places: int[]) (y: Array) : Array =
        on
            d
            { new OnElements<Array> with
                member _.Of<'T when 'T: unmanaged>() =
                    let result, ys = Array.copy (x :?> 'T[]), y :?> 'T[]
                    places |> Array.iteri (fun i p -> result[p] <- ys[i])
                    result }

    /// A copy of `x` with the numbers of `y` added at `places`, in order.
    let addAt (d: DType) (x: Array) (places: int[]) (y: Array) : Array =
        Numbers.on
            d
            { new OnNumbers<Array> with
                member _.Of<'T when 'T: unmanaged>(n: Numbers<'T>) =
                    let result, ys = Array.copy (x :?> 'T[]), y :?> 'T[]
                    places |> Array.iteri (fun i p -> result[p] <- n.Add result[p] ys[i])
                    result }

    /// Arrays one after the other.
    let join (d: DType) (parts: Array[]) : Array =
        on
            d
            { new OnElements<Array> with
                member _.Of<'T when 'T: unmanaged>() = parts |> Seq.map (fun p -> p :?> 'T[]) |> Array.concat :> Array }

    /// Elements start .. start + count - 1.
    let sub (d: DType) (x: Array) (start: int) (count: int) : Array =
        on
            d
            { new OnElements<Array> with
                member _.Of<'T when 'T: unmanaged>() = Array.sub (x :?> 'T[]) start count }

    /// The same bits as another type of the same size.
    let reinterpret (source: DType) (target: DType) (x: Array) : Array =
        let s = toStorage source x
        let result = ofStorage (Storage(target, s.Length, s.Pointer, obj ()))
        GC.KeepAlive s // the second storage does not keep the memory
        result
