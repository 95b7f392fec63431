namespace Nanograd.Simd

open System
open System.Collections.Generic
open System.Reflection
open System.Reflection.Emit
open System.Runtime.Intrinsics
open System.Runtime.Intrinsics.X86
open Nanograd

/// How machine operations become IL, for one width. Operands are on the evaluation stack.
[<AbstractClass>]
type internal Target() =
    /// Elements that one operation works on.
    abstract Lanes: int
    /// The .NET type that a value has on the stack.
    abstract TypeOf: DType -> Type
    abstract Constant: ILGenerator * DType * uint64 -> unit
    /// An operation on operands of type `source` with a result of type `result`.
    abstract Operation: ILGenerator * MicroOp * source: DType * result: DType -> unit
    /// A truth value on the stack, made ready to select values of a type.
    abstract Mask: ILGenerator * DType -> unit
    /// Address on the stack to value, and (address, value) to memory: consecutive elements.
    abstract Load: ILGenerator * DType -> unit
    abstract Store: ILGenerator * DType -> unit

/// Finding methods by name and parameter types.
module internal Methods =
    let private flags = BindingFlags.Static ||| BindingFlags.Public ||| BindingFlags.NonPublic

    /// The static method of `owner` called `name`; generic ones are tried with `element`.
    let find (owner: Type) (name: string) (element: Type) (parameters: Type[]) : MethodInfo =
        let matches (m: MethodInfo) = (m.GetParameters() |> Array.map (fun p -> p.ParameterType)) = parameters
        let candidates =
            owner.GetMethods flags
            |> Seq.filter (fun m -> m.Name = name && m.GetParameters().Length = parameters.Length)
            |> Seq.choose (fun m ->
                if not m.IsGenericMethodDefinition then
                    Some m
                elif m.GetGenericArguments().Length = 1 then
                    (try
                        Some(m.MakeGenericMethod element)
                     with :? ArgumentException ->
                         None)
                else
                    None)
        match Seq.tryFind matches candidates with
        | Some m -> m
        | None -> invalidOp $"no method {owner.Name}.{name}({String.Join(',', parameters |> Array.map string)})"

    let runtime (name: string) (parameters: Type[]) = find typeof<Runtime> name typeof<int> parameters

/// One element at a time: every type and every operation.
[<Sealed>]
type internal ScalarTarget() =
    inherit Target()

    static let typeOf (d: DType) =
        match d with
        | DType.F64 -> typeof<float>
        | DType.F32
        | DType.F16
        | DType.BF16 -> typeof<float32>
        | DType.I64 -> typeof<int64>
        | DType.I32
        | DType.U32
        | DType.U8
        | DType.I8
        | DType.Bool -> typeof<int>

    static let isFloat d = DType.isFloat d

    /// Small integers wrap after every operation.
    static let wrap (il: ILGenerator) (d: DType) =
        match d with
        | DType.U8 -> il.Emit OpCodes.Conv_U1
        | DType.I8 -> il.Emit OpCodes.Conv_I1
        | DType.F64
        | DType.F32
        | DType.F16
        | DType.BF16
        | DType.I64
        | DType.I32
        | DType.U32
        | DType.Bool -> ()

    static let call (il: ILGenerator) name (types: Type list) =
        il.Emit(OpCodes.Call, Methods.runtime name (List.toArray types))

    static let math (il: ILGenerator) (d: DType) name count =
        let t = typeOf d
        let owner = if t = typeof<float32> then typeof<MathF> else typeof<Math>
        il.Emit(OpCodes.Call, Methods.find owner name t (Array.create count t))

    static let suffix (d: DType) =
        match d with
        | DType.F64 -> "F64"
        | DType.F32
        | DType.F16
        | DType.BF16 -> "F32"
        | DType.I64 -> "I64"
        | DType.U32 -> "U32"
        | DType.I32
        | DType.U8
        | DType.I8
        | DType.Bool -> "I32"

    static let convert (il: ILGenerator) (source: DType) (target: DType) =
        let toFloat () = if source = DType.U32 then il.Emit OpCodes.Conv_R_Un
        match target with
        | DType.F64 ->
            toFloat ()
            il.Emit OpCodes.Conv_R8
        | DType.F32 ->
            toFloat ()
            il.Emit OpCodes.Conv_R4
        | DType.F16 ->
            if source = DType.F64 then
                call il "RoundHalf" [ typeof<float> ]
            else
                toFloat ()
                il.Emit OpCodes.Conv_R4
                call il "RoundHalf" [ typeof<float32> ]
        | DType.BF16 ->
            toFloat ()
            il.Emit OpCodes.Conv_R4
            call il "RoundBrain" [ typeof<float32> ]
        | DType.I64 ->
            if isFloat source then
                il.Emit OpCodes.Conv_R8
                call il "ToI64" [ typeof<float> ]
            elif source = DType.U32 then
                il.Emit OpCodes.Conv_U8
            else
                il.Emit OpCodes.Conv_I8
        | DType.I32
        | DType.U32
        | DType.U8
        | DType.I8 ->
            if isFloat source then
                il.Emit OpCodes.Conv_R8
                call il ("To" + (string target).ToUpperInvariant()) [ typeof<float> ]
            else
                il.Emit OpCodes.Conv_I4
                wrap il target
        | DType.Bool -> invalidOp "casts to bool are comparisons"

    static let reinterpret (il: ILGenerator) (source: DType) (target: DType) =
        let bits name (t: Type) = il.Emit(OpCodes.Call, Methods.find typeof<BitConverter> name t [| t |])
        match source, target with
        | DType.F32, (DType.I32 | DType.U32) -> bits "SingleToInt32Bits" typeof<float32>
        | (DType.I32 | DType.U32), DType.F32 -> call il "SingleOfBits" [ typeof<int> ]
        | DType.F64, DType.I64 -> bits "DoubleToInt64Bits" typeof<float>
        | DType.I64, DType.F64 -> bits "Int64BitsToDouble" typeof<int64>
        | DType.F16, DType.BF16 -> call il "HalfAsBrain" [ typeof<float32> ]
        | DType.BF16, DType.F16 -> call il "BrainAsHalf" [ typeof<float32> ]
        | _ -> wrap il target

    static let compare (il: ILGenerator) (op: MicroOp) (d: DType) =
        let isNot () =
            il.Emit OpCodes.Ldc_I4_0
            il.Emit OpCodes.Ceq
        match op with
        | MicroOp.Equal -> il.Emit OpCodes.Ceq
        | MicroOp.Less -> il.Emit(if d = DType.U32 then OpCodes.Clt_Un else OpCodes.Clt)
        | _ -> // x <= y is not (x > y, or unordered)
            il.Emit(if d = DType.U32 || isFloat d then OpCodes.Cgt_Un else OpCodes.Cgt)
            isNot ()

    static let shift (il: ILGenerator) (op: MicroOp) (d: DType) =
        let by (count: int) (code: OpCode) =
            il.Emit(OpCodes.Ldc_I4, count)
            il.Emit code
            wrap il d
        match op with
        | MicroOp.ShiftLeft n -> by n OpCodes.Shl
        | MicroOp.ShiftRight n -> by n OpCodes.Shr_Un
        | MicroOp.ShiftRightSigned n -> by n OpCodes.Shr
        | _ -> invalidOp "not a shift"

    static let functions (il: ILGenerator) (name: string) (d: DType) =
        let t = typeOf d
        match name with
        | "Shl"
        | "Shr" ->
            il.Emit(OpCodes.Ldc_I4, 8 * DType.size d)
            let unsigned = name = "Shr" && (d = DType.U32 || d = DType.U8)
            call il (if unsigned then "ShrUnsigned" else name) [ t; t; typeof<int> ]
        | _ -> call il (name + suffix d) [ t; t ]
        wrap il d

    override _.Lanes = 1
    override _.TypeOf d = typeOf d

    override _.Constant(il, d, bits) =
        match typeOf d with
        | t when t = typeof<float> -> il.Emit(OpCodes.Ldc_R8, BitConverter.UInt64BitsToDouble bits)
        | t when t = typeof<float32> -> il.Emit(OpCodes.Ldc_R4, BitConverter.UInt32BitsToSingle(uint32 bits))
        | t when t = typeof<int64> -> il.Emit(OpCodes.Ldc_I8, int64 bits)
        | _ -> il.Emit(OpCodes.Ldc_I4, int (uint32 bits))

    override _.Operation(il, op, source, result) =
        let simple (code: OpCode) =
            il.Emit code
            wrap il result
        match op with
        | MicroOp.Add -> simple OpCodes.Add
        | MicroOp.Sub -> simple OpCodes.Sub
        | MicroOp.Mul -> simple OpCodes.Mul
        | MicroOp.Div -> simple OpCodes.Div
        | MicroOp.Neg -> simple OpCodes.Neg
        | MicroOp.Fma -> math il result "FusedMultiplyAdd" 3
        | MicroOp.Abs ->
            if isFloat result then
                math il result "Abs" 1
            else
                call il "Abs" [ typeOf result ]
                wrap il result
        | MicroOp.Sqrt -> math il result "Sqrt" 1
        | MicroOp.Floor -> math il result "Floor" 1
        | MicroOp.Ceil -> math il result "Ceiling" 1
        | MicroOp.Round -> math il result "Round" 1
        | MicroOp.Max
        | MicroOp.Min ->
            let name = if op = MicroOp.Max then "Max" else "Min"
            if result = DType.U32 then
                il.Emit(
                    OpCodes.Call,
                    Methods.find typeof<Math> name typeof<uint32> [| typeof<uint32>; typeof<uint32> |]
                )
            else
                math il result name 2
        | MicroOp.MaxSecond -> call il "MaxSecond" [ typeOf result; typeOf result ]
        | MicroOp.MinSecond -> call il "MinSecond" [ typeOf result; typeOf result ]
        | MicroOp.And -> il.Emit OpCodes.And
        | MicroOp.Or -> il.Emit OpCodes.Or
        | MicroOp.Xor -> il.Emit OpCodes.Xor
        | MicroOp.Not ->
            if result = DType.Bool then
                il.Emit OpCodes.Ldc_I4_0
                il.Emit OpCodes.Ceq
            else
                simple OpCodes.Not
        | MicroOp.ShiftLeft _
        | MicroOp.ShiftRight _
        | MicroOp.ShiftRightSigned _ -> shift il op result
        | MicroOp.Equal
        | MicroOp.Less
        | MicroOp.LessEqual -> compare il op source
        | MicroOp.Select -> call il "Select" [ typeof<int>; typeOf result; typeOf result ]
        | MicroOp.Convert -> convert il source result
        | MicroOp.Reinterpret -> reinterpret il source result
        | MicroOp.Call name -> functions il name source
        | MicroOp.Constant _
        | MicroOp.Row _
        | MicroOp.Saved _
        | MicroOp.Scalar _
        | MicroOp.Load _
        | MicroOp.LoadAt _
        | MicroOp.Count _ -> invalidOp "leaves are emitted by the nest"

    override _.Mask(_, _) = ()

    override _.Load(il, d) =
        match d with
        | DType.F64 -> il.Emit OpCodes.Ldind_R8
        | DType.F32 -> il.Emit OpCodes.Ldind_R4
        | DType.F16 ->
            il.Emit OpCodes.Ldind_U2
            call il "OfHalf" [ typeof<int> ]
        | DType.BF16 ->
            il.Emit OpCodes.Ldind_U2
            call il "OfBrain" [ typeof<int> ]
        | DType.I64 -> il.Emit OpCodes.Ldind_I8
        | DType.I32
        | DType.U32 -> il.Emit OpCodes.Ldind_I4
        | DType.U8
        | DType.Bool -> il.Emit OpCodes.Ldind_U1
        | DType.I8 -> il.Emit OpCodes.Ldind_I1

    override _.Store(il, d) =
        match d with
        | DType.F64 -> il.Emit OpCodes.Stind_R8
        | DType.F32 -> il.Emit OpCodes.Stind_R4
        | DType.F16 ->
            call il "ToHalf" [ typeof<float32> ]
            il.Emit OpCodes.Stind_I2
        | DType.BF16 ->
            call il "ToBrain" [ typeof<float32> ]
            il.Emit OpCodes.Stind_I2
        | DType.I64 -> il.Emit OpCodes.Stind_I8
        | DType.I32
        | DType.U32 -> il.Emit OpCodes.Stind_I4
        | DType.U8
        | DType.Bool
        | DType.I8 -> il.Emit OpCodes.Stind_I1

/// Vectors of 128, 256 or 512 bits with lanes of 4 or 8 bytes; truth values are masks of that lane size. Bytes are int32 in registers.
/// Beside lanes of 8 bytes, elements of 4 are in vectors of half the bits (beside 128: in the lower half).
[<Sealed>]
type internal VectorTarget(bits: int, laneSize: int) =
    inherit Target()

    let family bits size =
        match bits with
        | 512 ->
            struct (typeof<Vector512>,
                    typedefof<Vector512<_>>,
                    (if Avx512F.IsSupported then Some typeof<Avx512F> else None))
        | 256 ->
            struct (typeof<Vector256>, typedefof<Vector256<_>>, (if Avx.IsSupported then Some typeof<Avx> else None))
        | _ ->
            let sse = if size = 4 then typeof<Sse> else typeof<Sse2>
            struct (typeof<Vector128>, typedefof<Vector128<_>>, (if Sse2.IsSupported then Some sse else None))

    let whole, narrowBits = family bits laneSize, max 128 (bits / 2)
    let half = family narrowBits 4

    let isNarrow (e: Type) = laneSize = 8 && (e = typeof<float32> || e = typeof<int> || e = typeof<uint32>)
    let familyOf (e: Type) = if isNarrow e then half else whole
    let ownerOf (e: Type) = let struct (owner, _, _) = familyOf e in owner

    let maskType = if laneSize = 4 then typeof<int> else typeof<int64>

    let element (d: DType) =
        match d with
        | DType.F64 -> typeof<float>
        | DType.F32 -> typeof<float32>
        | DType.I64 -> typeof<int64>
        | DType.I32
        | DType.U8
        | DType.I8 -> typeof<int>
        | DType.U32 -> typeof<uint32>
        | DType.Bool -> maskType
        | DType.F16
        | DType.BF16 -> invalidOp $"vectors of {d} do not exist"

    let vector (e: Type) = let struct (_, generic, _) = familyOf e in generic.MakeGenericType [| e |]

    /// Calls VectorN.name on operands of these element types.
    let call (il: ILGenerator) (name: string) (e: Type) (parameters: Type[]) =
        il.Emit(OpCodes.Call, Methods.find (ownerOf e) name e parameters)

    let plain (il: ILGenerator) name d count =
        let e = element d
        call il name e (Array.create count (vector e))

    /// A function of Widths on these operands.
    let width (il: ILGenerator) (name: string) (parameters: Type[]) =
        il.Emit(OpCodes.Call, Methods.find typeof<Widths> name typeof<int> parameters)

    let widen (il: ILGenerator) = width il $"Widen{bits}" [| vector typeof<int> |]
    let narrow (il: ILGenerator) = width il $"Narrow{bits}" [| vector typeof<int64> |]

    /// The same bits as a vector of another element type of the same size.
    let reinterpret (il: ILGenerator) (source: Type) (target: Type) =
        if source <> target then
            let m =
                (ownerOf source).GetMethods()
                |> Array.find (fun m -> m.Name = "As" && m.GetGenericArguments().Length = 2)
            il.Emit(OpCodes.Call, m.MakeGenericMethod [| source; target |])

    let compare (il: ILGenerator) name (source: DType) =
        plain il name source 2
        let e = element source
        reinterpret il e (if isNarrow e then typeof<int> else maskType)
        if isNarrow e then widen il

    let shift (il: ILGenerator) name (e: Type) (count: int) =
        il.Emit(OpCodes.Ldc_I4, count)
        call il name e [| vector e; typeof<int> |]

    let number (il: ILGenerator) (e: Type) (value: int64) =
        if e = typeof<int64> then il.Emit(OpCodes.Ldc_I8, value) else il.Emit(OpCodes.Ldc_I4, int value)
        call il "Create" e [| e |]

    /// Small integers wrap after every operation.
    let wrap (il: ILGenerator) (d: DType) =
        match d with
        | DType.U8 ->
            number il typeof<int> 255L
            plain il "BitwiseAnd" d 2
        | DType.I8 ->
            shift il "ShiftLeft" typeof<int> 24
            shift il "ShiftRightArithmetic" typeof<int> 24
        | DType.F64
        | DType.F32
        | DType.F16
        | DType.BF16
        | DType.I64
        | DType.I32
        | DType.U32
        | DType.Bool -> ()

    /// Conversions; `Vectors.converts` says which there are.
    let convert (il: ILGenerator) (source: DType) (result: DType) =
        let widenInteger () =
            reinterpret il (element source) typeof<int>
            widen il
            if source = DType.U32 then
                number il typeof<int64> 0xFFFFFFFFL
                plain il "BitwiseAnd" DType.I64 2
        let ofFloat () = call il "ConvertToInt64" typeof<float> [| vector typeof<float> |]
        let toDouble () = width il $"ToDouble{bits}" [| vector typeof<float32> |]
        match source, result with
        | _ when source = result -> ()
        | DType.F32, DType.F64 -> toDouble ()
        | DType.F64, DType.F32 -> width il $"ToSingle{bits}" [| vector typeof<float> |]
        | DType.F32, DType.I64 ->
            toDouble ()
            ofFloat ()
        | DType.F64, DType.I64 -> ofFloat ()
        | DType.F32, _ ->
            plain il "ConvertToInt32" DType.F32 1
            let clamp low high =
                number il typeof<int> low
                plain il "Max" result 2
                number il typeof<int> high
                plain il "Min" result 2
            if result = DType.U8 then clamp 0L 255L
            elif result = DType.I8 then clamp -128L 127L
        | _, DType.F32 -> plain il "ConvertToSingle" source 1
        | _, DType.F64 ->
            if source <> DType.I64 then widenInteger ()
            plain il "ConvertToDouble" DType.I64 1
        | _, DType.I64 -> widenInteger ()
        | DType.I64, _ ->
            narrow il
            reinterpret il typeof<int> (element result)
            wrap il result
        | _ ->
            reinterpret il (element source) (element result)
            wrap il result

    /// min and max as processors have them; elsewhere a comparison and a selection.
    let second (il: ILGenerator) (isMax: bool) (d: DType) =
        let v = vector (element d)
        let struct (_, _, native) = familyOf (element d)
        match native with
        | Some n -> il.Emit(OpCodes.Call, Methods.find n (if isMax then "Max" else "Min") v [| v; v |])
        | None ->
            let x, y = il.DeclareLocal v, il.DeclareLocal v
            il.Emit(OpCodes.Stloc, y)
            il.Emit(OpCodes.Stloc, x)
            il.Emit(OpCodes.Ldloc, x)
            il.Emit(OpCodes.Ldloc, y)
            plain il (if isMax then "GreaterThan" else "LessThan") d 2
            il.Emit(OpCodes.Ldloc, x)
            il.Emit(OpCodes.Ldloc, y)
            plain il "ConditionalSelect" d 3

    member _.Bits = bits
    member _.Vector(d: DType) = vector (element d)
    member _.Element(d: DType) = element d

    /// A scalar on the stack to all lanes.
    member _.Broadcast(il: ILGenerator, d: DType) =
        let e = element d
        if d = DType.Bool then // 0 or 1 to 0 or all ones
            il.Emit OpCodes.Neg
            if laneSize = 8 then il.Emit OpCodes.Conv_I8
        call il "Create" e [| e |]

    /// 0, 1, 2, ... in the lanes.
    member _.Indices(il: ILGenerator, d: DType) =
        il.Emit(OpCodes.Call, (vector (element d)).GetProperty("Indices").GetGetMethod())

    override _.Lanes = bits / 8 / laneSize
    override _.TypeOf d = vector (element d)

    override t.Constant(il, d, bits) =
        match element d with
        | e when e = typeof<float> -> il.Emit(OpCodes.Ldc_R8, BitConverter.UInt64BitsToDouble bits)
        | e when e = typeof<float32> -> il.Emit(OpCodes.Ldc_R4, BitConverter.UInt32BitsToSingle(uint32 bits))
        | e when e = typeof<int64> && d <> DType.Bool -> il.Emit(OpCodes.Ldc_I8, int64 bits)
        | _ -> il.Emit(OpCodes.Ldc_I4, int (uint32 bits))
        t.Broadcast(il, d)

    override t.Operation(il, op, source, result) =
        let wrapping name count =
            plain il name result count
            wrap il result
        let shift name count = shift il name (element result) count
        match op with
        | MicroOp.Add -> wrapping "Add" 2
        | MicroOp.Sub -> wrapping "Subtract" 2
        | MicroOp.Mul -> wrapping "Multiply" 2
        | MicroOp.Div -> plain il "Divide" result 2
        | MicroOp.Fma -> plain il "FusedMultiplyAdd" result 3
        | MicroOp.Neg -> wrapping "Negate" 1
        | MicroOp.Abs -> wrapping "Abs" 1
        | MicroOp.Sqrt -> plain il "Sqrt" result 1
        | MicroOp.Floor -> plain il "Floor" result 1
        | MicroOp.Ceil -> plain il "Ceiling" result 1
        | MicroOp.Round -> plain il "Round" result 1
        | MicroOp.Max -> plain il "Max" result 2
        | MicroOp.Min -> plain il "Min" result 2
        | MicroOp.MaxSecond -> second il true result
        | MicroOp.MinSecond -> second il false result
        | MicroOp.And -> plain il "BitwiseAnd" result 2
        | MicroOp.Or -> plain il "BitwiseOr" result 2
        | MicroOp.Xor -> plain il "Xor" result 2
        | MicroOp.Not -> wrapping "OnesComplement" 1
        | MicroOp.ShiftLeft n ->
            shift "ShiftLeft" n
            wrap il result
        | MicroOp.ShiftRight n -> shift "ShiftRightLogical" n
        | MicroOp.ShiftRightSigned n -> shift "ShiftRightArithmetic" n
        | MicroOp.Equal -> compare il "Equals" source
        | MicroOp.Less -> compare il "LessThan" source
        | MicroOp.LessEqual -> compare il "LessThanOrEqual" source
        | MicroOp.Select -> plain il "ConditionalSelect" result 3
        | MicroOp.Convert -> convert il source result
        | MicroOp.Reinterpret ->
            reinterpret il (element source) (element result)
            wrap il result
        | MicroOp.Call name -> invalidOp $"{name} has no vector form"
        | MicroOp.Constant _
        | MicroOp.Row _
        | MicroOp.Saved _
        | MicroOp.Scalar _
        | MicroOp.Load _
        | MicroOp.LoadAt _
        | MicroOp.Count _ -> invalidOp "leaves are emitted by the nest"

    override _.Mask(il, d) =
        let e = element d
        if isNarrow e then narrow il
        reinterpret il (if isNarrow e then typeof<int> else maskType) e

    override t.Load(il, d) =
        il.Emit(OpCodes.Unaligned, 1uy)
        il.Emit(OpCodes.Ldobj, t.Vector d)

    override t.Store(il, d) =
        let e = element d
        if bits = 128 && isNarrow e then
            reinterpret il e typeof<int>
            width il "WriteHalf" [| typeof<nativeint>; vector typeof<int> |]
        else
            il.Emit(OpCodes.Unaligned, 1uy)
            il.Emit(OpCodes.Stobj, t.Vector d)

    /// (address, value) to memory past the cache; the address must be aligned to the vector.
    member t.Stream(il: ILGenerator, d: DType) =
        let e = element d
        if bits = 128 && isNarrow e then
            t.Store(il, d)
        else
            reinterpret il e typeof<int>
            let struct (_, generic, _) = familyOf e
            let integers = generic.MakeGenericType [| typeof<int> |]
            width il $"Stream{if isNarrow e then narrowBits else bits}" [| typeof<nativeint>; integers |]

    /// Address on the stack to a vector: elements that are bytes in memory.
    member _.LoadBytes(il: ILGenerator, d: DType) =
        width il $"Read{if laneSize = 4 then bits else narrowBits}" [| typeof<nativeint> |]
        if d = DType.I8 then wrap il d
        if d = DType.Bool then
            plain il "Negate" DType.I32 1
            if laneSize = 8 then widen il

    /// (address, vector) to bytes in memory.
    member t.StoreBytes(il: ILGenerator, d: DType) =
        if d = DType.Bool then
            if laneSize = 8 then narrow il
            number il typeof<int> 1L
            plain il "BitwiseAnd" DType.I32 2
        width il $"Write{t.Lanes}" [| typeof<nativeint>; vector typeof<int> |]

/// Which vectors can run a piece of code.
module internal Vectors =
    /// The lane size (4 or 8) that all operations share; none if some needs another, or a function that has no vector form.
    let private converts (source: DType) (target: DType) =
        let isInteger d = not (DType.isFloat d) && d <> DType.Bool
        source = target
        || (match source, target with
            | (DType.F16 | DType.BF16), _
            | _, (DType.F16 | DType.BF16)
            | DType.I64, DType.F32 -> false // by way of f64 it would be rounded twice
            | DType.F32, d -> d <> DType.U32
            | DType.F64, d -> d = DType.F32 || d = DType.I64
            | s, (DType.F64 | DType.F32) -> isInteger s
            | s, d -> isInteger s && isInteger d)

    let private is8 (d: DType) = DType.size d = 8

    /// The lane size (4 or 8) for all operations: that of the widest type; none if a type or a function has no vector form.
    let laneSize (code: Micro[]) : int voption =
        let fits (m: Micro) =
            m.Type <> DType.F16
            && m.Type <> DType.BF16
            && (match m.Op with
                | MicroOp.Call _
                | MicroOp.LoadAt _ -> false
                | MicroOp.Count _ -> m.Type <> DType.Bool
                | MicroOp.Div -> DType.isFloat m.Type
                | MicroOp.ShiftRightSigned _ -> m.Type <> DType.I64
                | MicroOp.Convert -> converts code[m.Inputs[0]].Type m.Type
                | MicroOp.Reinterpret -> code[m.Inputs[0]].Type <> DType.Bool && m.Type <> DType.Bool
                | _ -> true)
        if not (Array.forall fits code) then ValueNone
        elif Array.exists (fun (m: Micro) -> is8 m.Type) code then ValueSome 8
        else ValueSome 4

/// Emits straight-line code: values used once stay on the stack, others in locals that are reused as soon as they are free.
[<Sealed>]
type internal Section
    (
        il: ILGenerator,
        target: Target,
        code: Micro[],
        pool: Dictionary<Type, Stack<LocalBuilder>>,
        leaf: Micro -> int -> unit
    ) =
    let uses = Array.zeroCreate<int> code.Length
    let locals = Array.zeroCreate<LocalBuilder> code.Length

    let take (t: Type) =
        match pool.TryGetValue t with
        | true, free when free.Count > 0 -> free.Pop()
        | _ -> il.DeclareLocal t

    let give (l: LocalBuilder) =
        match pool.TryGetValue l.LocalType with
        | true, free -> free.Push l
        | _ ->
            let free = Stack()
            free.Push l
            pool[l.LocalType] <- free

    /// Leaves one use of value i on the stack.
    let rec push (i: int) =
        let m = code[i]
        if Micro.isConstant m then
            (match m.Op with
             | MicroOp.Constant bits -> target.Constant(il, m.Type, bits)
             | _ -> ())
        elif not (isNull locals[i]) then
            il.Emit(OpCodes.Ldloc, locals[i])
            uses[i] <- uses[i] - 1
            if uses[i] = 0 then
                give locals[i]
                locals[i] <- null
        else
            compute i

    and compute (i: int) =
        let m = code[i]
        match m.Op with
        | MicroOp.Row _
        | MicroOp.Saved _
        | MicroOp.Scalar _
        | MicroOp.Load _
        | MicroOp.Count _ -> leaf m i
        | MicroOp.LoadAt _ ->
            for o in m.Inputs do
                push o
            leaf m i
        | MicroOp.Select ->
            push m.Inputs[0]
            target.Mask(il, m.Type)
            push m.Inputs[1]
            push m.Inputs[2]
            target.Operation(il, m.Op, m.Type, m.Type)
        | _ ->
            for o in m.Inputs do
                push o
            // For comparisons and conversions the operand's type decides.
            let source = if m.Inputs.Length = 0 then m.Type else code[m.Inputs[m.Inputs.Length - 1]].Type
            target.Operation(il, m.Op, source, m.Type)

    let isLeaf (m: Micro) =
        match m.Op with
        | MicroOp.Row _
        | MicroOp.Saved _
        | MicroOp.Scalar _
        | MicroOp.Load _
        | MicroOp.LoadAt _
        | MicroOp.Count _ -> true
        | _ -> false

    member private _.Begin(roots: int[]) =
        for m in code do
            for o in m.Inputs do
                uses[o] <- uses[o] + 1
        for r in roots do
            uses[r] <- uses[r] + 1

    member private _.Store(i: int) =
        compute i
        locals[i] <- take (target.TypeOf code[i].Type)
        il.Emit(OpCodes.Stloc, locals[i])

    /// Computes the roots; afterwards `use` pushes them, as often as each occurs in `roots`.
    member s.Run(roots: int[]) =
        s.Begin roots
        let isRoot = HashSet<int>(roots)
        for i in 0 .. code.Length - 1 do
            if not (Micro.isConstant code[i]) && (uses[i] > 1 || isRoot.Contains i) then s.Store i

    /// The same of several sections with the same code, operation by operation in turn: what one waits for, others fill. Truth values
    /// that are used once stay beside their use, where they are masks of the processor.
    static member RunTogether(sections: Section[], code: Micro[], roots: int[]) =
        if sections.Length = 1 then
            sections[0].Run roots
        else
            for s in sections do
                s.Begin roots
            let isRoot = HashSet<int>(roots)
            for i in 0 .. code.Length - 1 do
                for s in sections do
                    if s.Stays(i, isRoot.Contains i) then s.Store i

    member private _.Stays(i: int, isRoot: bool) =
        let m = code[i]
        not (Micro.isConstant m) && (isRoot || uses[i] > 1 || (uses[i] = 1 && m.Type <> DType.Bool && not (isLeaf m)))

    member _.Push(i: int) = push i
