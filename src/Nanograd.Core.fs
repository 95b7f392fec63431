/// The language. Everything that Nanograd can say is said with the types of this file: a tensor is an immutable expression,
/// made by the smart constructors of the module Op, which check shapes and types at the line that makes a mistake.
/// What expressions mean is in Interpreter.fs; how they become fast is in Lower.fs and after.
namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.Numerics
open System.Text
open System.Threading

// ------------------------------------------------------------------------------------------------ element types
/// The type of a tensor's elements. The 16-bit floats are storage types: arithmetic on them is done in F32.
[<RequireQualifiedAccess>]
type DType =
    | F64 | F32 | F16 | BF16 | I64 | I32 | U32 | U8 | I8 | Bool
    /// The short name, as in `f32[2,3]`.
    override d.ToString() =
        match d with
        | F64 -> "f64" | F32 -> "f32" | F16 -> "f16" | BF16 -> "bf16" | Bool -> "bool"
        | I64 -> "i64" | I32 -> "i32" | U32 -> "u32" | U8 -> "u8" | I8 -> "i8"

/// Facts about element types.
[<RequireQualifiedAccess>]
module DType =
    /// All element types, widest float first.
    let all =
        [ DType.F64; DType.F32; DType.F16; DType.BF16; DType.I64; DType.I32; DType.U32; DType.U8; DType.I8; DType.Bool ]
    /// Bytes of one element.
    let size (d: DType) =
        match d with
        | DType.F64 | DType.I64 -> 8
        | DType.F32 | DType.I32 | DType.U32 -> 4
        | DType.F16 | DType.BF16 -> 2
        | DType.U8 | DType.I8 | DType.Bool -> 1
    /// True of f64, f32, f16 and bf16.
    let isFloat (d: DType) =
        match d with
        | DType.F64 | DType.F32 | DType.F16 | DType.BF16 -> true
        | DType.I64 | DType.I32 | DType.U32 | DType.U8 | DType.I8 | DType.Bool -> false
    /// True of the signed and unsigned integers; bool is not one.
    let isInteger (d: DType) = not (isFloat d) && d <> DType.Bool
    /// The type that arithmetic on `d` is done in: f32 for the 16-bit floats, i64 for bool, otherwise `d`.
    let arithmetic (d: DType) =
        match d with
        | DType.F16 | DType.BF16 -> DType.F32
        | DType.Bool -> DType.I64
        | DType.F64 | DType.F32 | DType.I64 | DType.I32 | DType.U32 | DType.U8 | DType.I8 -> d
    let private rank (d: DType) = // position inside its kind (bool, integer, float)
        match d with
        | DType.Bool -> 0
        | DType.U8 | DType.I8 -> 1
        | DType.I32 | DType.U32 -> 2
        | DType.I64 -> 3
        | DType.F16 | DType.BF16 -> 4
        | DType.F32 -> 5
        | DType.F64 -> 6
    /// The type of the result of an operation on `a` and `b`: PyTorch's table; mixed signs take the next wider signed type.
    let promote (a: DType) (b: DType) =
        if a = b then a
        else
            match a, b with
            | (DType.F16 | DType.BF16), (DType.F16 | DType.BF16) -> DType.F32
            | (DType.U8 | DType.I8), (DType.U8 | DType.I8) -> DType.I32
            | DType.U32, (DType.I32 | DType.I8) | (DType.I32 | DType.I8), DType.U32 -> DType.I64
            | _ -> if rank a >= rank b then a else b

/// A 128-bit structural hash: equal expressions have equal hashes, and two different ones never meet in practice.
[<Struct; CustomEquality; NoComparison>]
type Hash =
    { High: uint64
      Low: uint64 }
    override h.GetHashCode() = int h.Low
    override h.Equals(other) = match other with :? Hash as o -> h.High = o.High && h.Low = o.Low | _ -> false
    override h.ToString() = h.High.ToString "x16" + h.Low.ToString "x16"
    interface IEquatable<Hash> with
        member h.Equals(o) = h.High = o.High && h.Low = o.Low
    /// Mixes one word into the hash (a multiply-fold of each half with its own odd constant).
    member h.Add(word: uint64) =
        let fold (x: uint64) (k: uint64) =
            let mutable low = 0UL
            let high = Math.BigMul(x, k, &low)
            high ^^^ low
        { High = fold (h.High ^^^ word ^^^ 0x9E3779B97F4A7C15UL) 0xBF58476D1CE4E5B9UL + BitOperations.RotateLeft(h.Low, 23)
          Low = fold (h.Low ^^^ BitOperations.RotateLeft(word, 31) ^^^ 0xD6E8FEB86659FD93UL) 0xA0761D6478BD642FUL + h.High }
    member h.Add(word: int) = h.Add(uint64 (uint32 word))
    member h.Add(o: Hash) = h.Add(o.High).Add(o.Low)
    member h.Add(words: int[]) = Array.fold (fun (acc: Hash) (w: int) -> acc.Add w) (h.Add words.Length) words
    member h.Add(text: string) = Seq.fold (fun (acc: Hash) (c: char) -> acc.Add(int c)) (h.Add text.Length) text
    /// The empty hash.
    static member Zero = { High = 0x243F6A8885A308D3UL; Low = 0x13198A2E03707344UL }

/// One number of some element type, held by its bits: floats as the bits of a double (already rounded to the type), the rest as int64.
[<Struct>]
type Constant =
    { DType: DType
      Bits: uint64 }
    /// The number as a float.
    member c.Float = if DType.isFloat c.DType then BitConverter.UInt64BitsToDouble c.Bits else float (int64 c.Bits)
    /// The number as an integer (floats are truncated).
    member c.Int = if DType.isFloat c.DType then int64 (BitConverter.UInt64BitsToDouble c.Bits) else int64 c.Bits

/// Making constants.
[<RequireQualifiedAccess>]
module Constant =
    /// The bits of the bfloat16 nearest to `x` (ties to even; NaN stays NaN).
    let bfloat16Bits (x: float32) =
        let b = BitConverter.SingleToUInt32Bits x
        if Single.IsNaN x then uint16 ((b >>> 16) ||| 0x40u) else uint16 ((b + 0x7FFFu + ((b >>> 16) &&& 1u)) >>> 16)
    /// The float that bfloat16 bits stand for.
    let ofBfloat16Bits (bits: uint16) = BitConverter.UInt32BitsToSingle(uint32 bits <<< 16)
    /// An integer wrapped into the range of an integer type (bool: zero or not).
    let wrap (dtype: DType) (x: int64) =
        match dtype with
        | DType.I32 -> int64 (int32 x)
        | DType.U32 -> int64 (uint32 x)
        | DType.U8 -> int64 (byte x)
        | DType.I8 -> int64 (sbyte x)
        | DType.Bool -> if x = 0L then 0L else 1L
        | DType.I64 | DType.F64 | DType.F32 | DType.F16 | DType.BF16 -> x
    /// A float rounded to a float type.
    let round (dtype: DType) (x: float) =
        match dtype with
        | DType.F32 -> float (float32 x)
        | DType.F16 -> float (float32 (Half.op_Explicit x: Half))
        | DType.BF16 -> float (ofBfloat16Bits (bfloat16Bits (float32 x)))
        | DType.F64 | DType.I64 | DType.I32 | DType.U32 | DType.U8 | DType.I8 | DType.Bool -> x
    /// The constant of type `dtype` nearest to the integer.
    let ofInt (dtype: DType) (x: int64) =
        if DType.isFloat dtype then // not by way of double, which would round twice
            let nearest = if dtype = DType.F64 then float x else float (float32 x)
            { DType = dtype; Bits = BitConverter.DoubleToUInt64Bits(round dtype nearest) }
        else { DType = dtype; Bits = uint64 (wrap dtype x) }
    /// The constant of type `dtype` nearest to the float. Integer types truncate; what does not fit is clamped, NaN is zero.
    let ofFloat (dtype: DType) (x: float) =
        let saturate low high = if Double.IsNaN x then 0L elif x <= float low then low elif x >= float high then high else int64 x
        match dtype with
        | DType.F64 | DType.F32 | DType.F16 | DType.BF16 -> { DType = dtype; Bits = BitConverter.DoubleToUInt64Bits(round dtype x) }
        | DType.I64 -> ofInt dtype (saturate Int64.MinValue Int64.MaxValue)
        | DType.I32 -> ofInt dtype (saturate (int64 Int32.MinValue) (int64 Int32.MaxValue))
        | DType.U32 -> ofInt dtype (saturate 0L (int64 UInt32.MaxValue))
        | DType.U8 -> ofInt dtype (saturate 0L 255L)
        | DType.I8 -> ofInt dtype (saturate -128L 127L)
        | DType.Bool -> ofInt dtype (if x = 0.0 then 0L else 1L)

/// The memory behind a value: `Length` elements at `Pointer`, kept alive by `Owner`. Nobody writes to it once a tensor holds it.
[<Sealed; AllowNullLiteral>]
type Storage(dtype: DType, length: int, pointer: nativeint, owner: obj) =
    static let mutable count = 0L
    let id = Interlocked.Increment &count
    let mutable pointer = pointer
    let mutable owner = owner
    let mutable donatedTo: string = null
    /// A number that no other storage of this process has.
    member _.Id = id
    member _.DType = dtype
    member _.Length = length
    /// The first element, in row-major order without gaps. Raises if the storage was donated.
    member _.Pointer =
        if not (isNull donatedTo) then
            raise (InvalidOperationException $"This tensor was donated to {donatedTo}, which reused its memory; use that program's results, or do not donate.")
        pointer
    member _.Owner = owner
    member _.IsDonated = not (isNull donatedTo)
    /// Gives the memory away: afterwards, reading this storage raises an error that names `receiver`.
    member s.Donate(receiver: string) =
        let moved = Storage(dtype, length, s.Pointer, owner)
        donatedTo <- receiver
        pointer <- 0n
        owner <- null
        moved
    /// Undoes `Donate`, whose result it gets: the receiver failed before it wrote anything.
    member internal s.TakeBack(moved: Storage) =
        pointer <- moved.Pointer
        owner <- moved.Owner
        donatedTo <- null

// ------------------------------------------------------------------------------------------------ the primitives
/// Elementwise functions of one argument.
[<RequireQualifiedAccess>]
type Unary =
    | Neg | Abs | Sign | Exp | Log | Log1p | Expm1 | Sqrt | Rsqrt
    | Sin | Cos | Atan | Tanh | Erf | Floor | Ceil | Round | Not

/// Elementwise functions of two arguments. Comparisons give bool; shifts and bit operations are for integers (and, or, xor: bool too).
[<RequireQualifiedAccess>]
type Binary =
    | Add | Sub | Mul | Div | Pow | Max | Min | Rem
    | Eq | Ne | Lt | Le | Gt | Ge | And | Or
    | Xor | Shl | Shr

/// The number of a union case, read without allocating: the accessor is found once per union type.
[<AbstractClass; Sealed>]
type internal Case<'u> private () =
    static let read =
        let getter = typeof<'u>.GetProperty("Tag").GetGetMethod true
        Delegate.CreateDelegate(typeof<Func<'u, int>>, getter) :?> Func<'u, int>
    static let names = FSharp.Reflection.FSharpType.GetUnionCases typeof<'u> |> Array.map (fun c -> c.Name.ToLowerInvariant())
    static member Number(case: 'u) = read.Invoke case
    static member Name(case: 'u) = names[read.Invoke case]

module internal Case =
    let number (case: 'u) = Case<'u>.Number case
    let name (case: 'u) = Case<'u>.Name case

/// How an axis is folded into one value.
[<RequireQualifiedAccess>]
type Reduction =
    | Sum | Prod | Max | Min

/// Windows along one axis: `Size` elements each, `Dilation` apart inside a window, windows `Step` apart.
type Window = { Axis: int; Size: int; Step: int; Dilation: int }

/// Changes of where elements stand; no element is computed.
[<RequireQualifiedAccess>]
type Movement =
    /// The same elements in row-major order under the node's own shape.
    | Reshape
    /// Axis i of the result is axis `permutation[i]` of the operand.
    | Permute of permutation: int[]
    /// Axes of size 1 are stretched to the node's own shape (the rank stays).
    | Broadcast
    /// Elements start, start + step, ... of each axis; the node's shape says how many.
    | Slice of starts: int[] * steps: int[]
    /// Constant (second operand, rank 0) around and, `interior` of it, between the elements.
    | Pad of low: int[] * high: int[] * interior: int[]
    | Reverse of axes: int[]
    | Concat of axis: int
    /// The axis becomes the number of windows; a new last axis holds each window's elements.
    | Unfold of Window
    /// The adjoint of Unfold: windows are added back onto an axis of `length`.
    | Fold of Window * length: int

/// Which axes a contraction sums over, and which are batches. Result axes: batch, then the left's free axes, then the right's.
type Contraction = { LeftBatch: int[]; RightBatch: int[]; LeftSum: int[]; RightSum: int[] }

/// A convolution of [batch; channels; spatial...] with [out; channels/groups; spatial...], as cross-correlation. Padding may be negative (crops).
type Convolution =
    { Strides: int[]; PadLow: int[]; PadHigh: int[]; LeftDilation: int[]; RightDilation: int[]; Groups: int }

/// Reading and writing at places that are themselves data. Indices out of range are errors when the program runs.
[<RequireQualifiedAccess>]
type Indexing =
    /// x, indices: the first `batch` axes of both run together; each index picks along `axis` of x.
    | Gather of axis: int * batch: int
    /// base, indices, updates: the transpose of Gather, added onto `base` in the order of the indices.
    | ScatterAdd of axis: int * batch: int
    /// x, then one rank-0 start per axis; the node's own shape says how much.
    | DynamicSlice
    /// x, update, then one rank-0 start per axis.
    | DynamicUpdate

/// A primitive. Each has one row in each table: shape rule (module Op), meaning (Interpreter), calculus (Calculus), lowering (Lower).
[<RequireQualifiedAccess; CustomEquality; NoComparison>]
type Op =
    /// A value in memory.
    | Literal of Storage
    /// A variable. Names are for reading; the number is the identity.
    | Input of id: int64 * name: string
    /// Parameter i of the Lambda whose body this node is in.
    | Parameter of index: int
    /// A scalar known when the expression is built (rank 0).
    | Const of Constant
    /// The index along an axis, as the node's integer or float type.
    | Iota of axis: int
    /// 32 random bits per element from a key (u32[2]) and the element's row-major index: Threefry2x32-20, the two words xored.
    | RandomBits
    | Unary of Unary
    | Binary of Binary
    /// condition, then, else.
    | Select
    /// Conversion of values to the node's own type.
    | Cast
    /// The same bits under the node's own type of the same size.
    | BitCast
    | Movement of Movement
    /// Over a run of last axes, or over axes before the last: the two have their own orders of summation (docs/semantics.md).
    | Reduce of Reduction * axes: int[]
    /// Index (i64) of the first largest or smallest element; NaN wins.
    | ArgReduce of largest: bool * axis: int
    | CumSum of axis: int * reverse: bool
    | Dot of Contraction
    | Conv of Convolution
    | Indexing of Indexing
    /// Stable; results are values and i64 indices. NaN is the largest.
    | Sort of axis: int * descending: bool
    /// The k largest along the last axis; results are values and i64 indices.
    | TopK of k: int
    /// operands: captured values, initial carries, scanned inputs. Results: final carries, stacked outputs.
    | Scan of Scan
    /// A function with a gradient of its own.
    | Custom of Custom
    /// A function whose inside is computed again in the backward pass instead of being kept.
    | Checkpoint of Lambda
    /// One result of a primitive with several (Sort, TopK, Scan, Custom, Checkpoint).
    | Item of index: int
    /// Attributes and kind, as a hash.
    member op.Hash: Hash =
        let tag (n: int) = Hash.Zero.Add n
        match op with
        | Literal s -> (tag 1).Add(uint64 s.Id)
        | Input(id, _) -> (tag 2).Add(uint64 id)
        | Parameter i -> (tag 3).Add i
        | Const c -> (tag 4).Add(Case.number c.DType).Add c.Bits
        | Iota axis -> (tag 5).Add axis
        | RandomBits -> tag 6
        | Unary u -> (tag 7).Add(Case.number u)
        | Binary b -> (tag 8).Add(Case.number b)
        | Select -> tag 9
        | Cast -> tag 10
        | BitCast -> tag 11
        | Movement m ->
            match m with
            | Movement.Reshape -> tag 20
            | Movement.Permute p -> (tag 21).Add p
            | Movement.Broadcast -> tag 22
            | Movement.Slice(starts, steps) -> (tag 23).Add(starts).Add steps
            | Movement.Pad(low, high, interior) -> (tag 24).Add(low).Add(high).Add interior
            | Movement.Reverse axes -> (tag 25).Add axes
            | Movement.Concat axis -> (tag 26).Add axis
            | Movement.Unfold w -> (tag 27).Add [| w.Axis; w.Size; w.Step; w.Dilation |]
            | Movement.Fold(w, length) -> (tag 28).Add [| w.Axis; w.Size; w.Step; w.Dilation; length |]
        | Reduce(r, axes) -> (tag 30).Add(Case.number r).Add axes
        | ArgReduce(largest, axis) -> (tag 31).Add(if largest then 1 else 0).Add axis
        | CumSum(axis, reverse) -> (tag 32).Add(axis).Add(if reverse then 1 else 0)
        | Dot d -> (tag 33).Add(d.LeftBatch).Add(d.RightBatch).Add(d.LeftSum).Add d.RightSum
        | Conv c -> (tag 34).Add(c.Strides).Add(c.PadLow).Add(c.PadHigh).Add(c.LeftDilation).Add(c.RightDilation).Add c.Groups
        | Indexing i ->
            match i with
            | Indexing.Gather(axis, batch) -> (tag 40).Add(axis).Add batch
            | Indexing.ScatterAdd(axis, batch) -> (tag 41).Add(axis).Add batch
            | Indexing.DynamicSlice -> tag 42
            | Indexing.DynamicUpdate -> tag 43
        | Sort(axis, descending) -> (tag 50).Add(axis).Add(if descending then 1 else 0)
        | TopK k -> (tag 51).Add k
        | Scan s -> (tag 52).Add(s.Body.Hash).Add [| s.Captured; s.Carried; s.Length; (if s.Reverse then 1 else 0) |]
        | Custom c ->
            let h = (tag 53).Add(c.Name).Add c.Body.Hash
            match c.Gradient with
            | Some g -> h.Add g.Hash
            | None -> h
        | Checkpoint l -> (tag 54).Add l.Hash
        | Item i -> (tag 55).Add i
    override op.Equals(other) = match other with :? Op as o -> op.Hash = o.Hash | _ -> false
    override op.GetHashCode() = op.Hash.GetHashCode()

/// A loop: `Length` times the body, from `Captured ++ carries ++ slices` to `carries ++ outputs`.
and [<NoComparison>] Scan = { Body: Lambda; Captured: int; Carried: int; Length: int; Reverse: bool }

/// A named function whose gradient, if given, maps (operands ++ cotangents of the results) to cotangents of the operands.
and [<NoComparison>] Custom = { Name: string; Body: Lambda; Gradient: Lambda option }

/// A closed function: its body mentions its parameters and nothing else outside. Equal bodies have equal hashes.
and [<NoComparison>] Lambda = { Params: (DType * int[])[]; Results: Tensor[]; Hash: Hash }

/// An immutable expression. Two tensors are equal when they are the same expression (not when their values are equal).
and [<Sealed; AllowNullLiteral; StructuredFormatDisplay("{Display}")>] Tensor
    internal (op: Op, inputs: Tensor[], dtype: DType, shape: int[]) =
    // Printing is further down and evaluation in a later file: both are found by name, once.
    static let show = lazy ((typeof<Tensor>.Assembly.GetType "Nanograd.Print").GetMethod("display").CreateDelegate<Func<Tensor, string>>())
    let hash =
        let mutable h = op.Hash.Add(Case.number dtype).Add shape
        for i in inputs do
            h <- h.Add(i.Hash: Hash)
        h
    /// The primitive that makes this tensor.
    member _.Op = op
    /// Its operands.
    member _.Inputs = inputs
    /// The type of the elements.
    member _.DType = dtype
    /// The extents, outermost first; empty for a scalar.
    member _.Shape = shape
    /// The number of axes.
    member _.Rank = shape.Length
    /// The number of elements.
    member _.Count = Array.fold (*) 1 shape
    /// The structural hash that equality is decided by.
    member _.Hash: Hash = hash
    override t.Equals(other) = match other with :? Tensor as o -> t.Hash = o.Hash | _ -> false
    override t.GetHashCode() = t.Hash.GetHashCode()
    override t.ToString() = show.Value.Invoke t
    /// What F# Interactive and %A show: the value of a closed expression, the algebra of an open one, and what went wrong where
    /// computing the value failed (F# Interactive would hide the error). Rows start on a line of their own.
    member t.Display =
        let text = try show.Value.Invoke t with e -> "error: " + e.Message
        if text.Contains '\n' then "\n" + text else text
    interface IEquatable<Tensor> with
        member t.Equals(o) = not (isNull o) && t.Hash = o.Hash

/// Told how expressions come about and what programs computed, while somebody debugs (Watching.fs).
[<AbstractClass; AllowNullLiteral>]
type internal Watcher() =
    [<DefaultValue>] static val mutable private current: Watcher
    /// null, unless somebody debugs.
    static member Current with get () = Watcher.current and set (w: Watcher) = Watcher.current <- w
    /// What this thread builds from now on is for the derivative of `node` (null: of none). Gives what was said before.
    static member Derive(node: Tensor) : Tensor = match Watcher.current with null -> null | w -> w.Deriving node
    /// `t` was built: anew (null), or as `original` on other operands.
    abstract Built: t: Tensor * original: Tensor -> unit
    abstract Deriving: node: Tensor -> Tensor
    /// A program gave `results`, which are the values of `expressions`.
    abstract Computed: results: Storage[] * expressions: Func<Tensor[]> -> unit

// ------------------------------------------------------------------------------------------------ shapes and their errors
/// A shape or type mistake, found when the expression is built. The message reads `op: required, got ...; hint`.
[<Sealed>]
type ShapeException(op: string, required: string, got: string, hint: string) =
    inherit ArgumentException(op + ": " + required + ", got " + got + (if hint = "" then "" else "; " + hint))
    member _.Operation = op
    member _.Required = required
    member _.Got = got
    member _.Hint = hint

/// Extents and what can be said of them.
[<RequireQualifiedAccess>]
module Shape =
    /// `[2,3]`.
    let show (shape: int[]) = "[" + String.Join(",", shape) + "]"
    /// `f32[2,3]`.
    let describe (t: Tensor) = t.DType.ToString() + show t.Shape
    /// The number of elements.
    let count (shape: int[]) =
        let total = Array.fold (fun (n: int64) (e: int) -> n * int64 e) 1L shape
        if total > int64 Int32.MaxValue then raise (ShapeException("shape", $"a tensor holds at most {Int32.MaxValue} elements", show shape, ""))
        int total
    /// Row-major strides, in elements.
    let strides (shape: int[]) =
        let result = Array.create shape.Length 1
        for i in shape.Length - 2 .. -1 .. 0 do
            result[i] <- result[i + 1] * shape[i + 1]
        result
    /// Raises the one kind of error that constructors raise.
    let fail (op: string) (required: string) (hint: string) (operands: Tensor list) : 'a =
        raise (ShapeException(op, required, String.Join(" x ", List.map describe operands), hint))
    /// Axis `axis` of a tensor of rank `rank`; negative axes count from the end.
    let axis (op: string) (operand: Tensor) (axis: int) =
        let rank = operand.Rank
        if axis < -rank || axis >= rank then
            fail op (if rank = 0 then $"axis {axis} must exist, and a scalar has no axes" else $"axis {axis} must be between {-rank} and {rank - 1}") "" [ operand ]
        if axis < 0 then axis + rank else axis
    /// Several axes, normalised, sorted and distinct.
    let axes (op: string) (operand: Tensor) (requested: seq<int>) =
        let result = requested |> Seq.map (axis op operand) |> Seq.toArray
        if (Array.distinct result).Length <> result.Length then
            fail op $"axes must be distinct, not {show result}" "" [ operand ]
        Array.sort result
    /// NumPy's rule: aligned at the last axis, extents must be equal or 1.
    let tryBroadcast (a: int[]) (b: int[]) =
        let rank = max a.Length b.Length
        let extent (s: int[]) i = if i < rank - s.Length then 1 else s[i - rank + s.Length]
        let joined = Array.init rank (fun i -> let x, y = extent a i, extent b i in if x = y || y = 1 then x elif x = 1 then y else -1)
        match Array.tryFindIndexBack (fun e -> e < 0) joined with
        | None -> Ok joined
        | Some i -> Error(i - rank, extent a i, extent b i)

// ------------------------------------------------------------------------------------------------ smart constructors
/// The constructors: the only way to make a Tensor. Each checks its operands (the shape rule of its primitive) and raises a
/// ShapeException that says what was required and what was got. They normalise only what is always true: types, broadcasting, no-ops.
[<RequireQualifiedAccess>]
module Op =
    let private seen (original: Tensor) (t: Tensor) = (match Watcher.Current with null -> () | w -> w.Built(t, original)); t
    let private node op inputs dtype shape = Tensor(op, inputs, dtype, shape) |> seen null
    let mutable private inputs = 0L
    let private checkCount op (shape: int[]) =
        if Array.exists (fun e -> e < 0) shape then
            raise (ShapeException(op, "extents must not be negative", Shape.show shape, ""))
        let total = Array.fold (fun (acc: int64) (e: int) -> min (acc * int64 e) (Int64.MaxValue / 4294967296L)) 1L shape
        if total > int64 Int32.MaxValue then
            raise (ShapeException(op, $"a tensor holds at most {Int32.MaxValue} elements", Shape.show shape, "split it into parts"))

    // ---- leaves
    /// A value in memory.
    let literal (storage: Storage) (shape: int[]) =
        if Shape.count shape <> storage.Length then
            raise (ShapeException("literal", $"{Shape.show shape} needs {Shape.count shape} elements", string storage.Length, ""))
        node (Op.Literal storage) [||] storage.DType shape
    /// A new variable, different from every other.
    let input (name: string) (dtype: DType) (shape: int[]) =
        checkCount "input" shape
        node (Op.Input(Interlocked.Increment &inputs, name)) [||] dtype shape
    /// Parameter `index` of a Lambda.
    let parameter (index: int) (dtype: DType) (shape: int[]) = node (Op.Parameter index) [||] dtype shape
    /// A scalar.
    let constant (c: Constant) = node (Op.Const c) [||] c.DType [||]
    /// The index along `axis` at every element, as an integer or arithmetic float type.
    let iota (dtype: DType) (shape: int[]) (axis: int) =
        checkCount "iota" shape
        if axis < 0 || axis >= shape.Length then
            raise (ShapeException("iota", $"axis {axis} must name an axis", Shape.show shape, ""))
        if dtype = DType.Bool || DType.arithmetic dtype <> dtype then
            raise (ShapeException("iota", "type must be f32, f64 or an integer", string dtype, ""))
        node (Op.Iota axis) [||] dtype shape
    /// 32 random bits per element, from a key of two words.
    let randomBits (key: Tensor) (shape: int[]) =
        checkCount "randomBits" shape
        if key.DType <> DType.U32 || key.Shape <> [| 2 |] then
            Shape.fail "randomBits" "the key must be u32[2]" "make keys with Random.key" [ key ]
        node Op.RandomBits [| key |] DType.U32 shape

    // ---- movement
    /// Values converted to another type.
    let rec cast (dtype: DType) (x: Tensor) =
        if x.DType = dtype then x
        else
            match x.Op with
            | Op.Const c ->
                constant (if DType.isFloat c.DType then Constant.ofFloat dtype c.Float else Constant.ofInt dtype c.Int)
            | Op.Movement Movement.Broadcast -> node (Op.Movement Movement.Broadcast) [| cast dtype x.Inputs[0] |] dtype x.Shape
            | _ -> node Op.Cast [| x |] dtype x.Shape
    /// The same bits read as another type of the same size.
    let bitCast (dtype: DType) (x: Tensor) =
        if x.DType = dtype then x
        elif DType.size dtype <> DType.size x.DType || dtype = DType.Bool || x.DType = DType.Bool then
            Shape.fail "bitCast" $"both types must have the same size and not be bool, not {dtype}" "use cast to convert values" [ x ]
        else node Op.BitCast [| x |] dtype x.Shape
    /// The same elements in row-major order under another shape; one extent may be -1.
    let reshape (shape: int[]) (x: Tensor) =
        let known = Array.fold (fun acc e -> if e = -1 then acc else acc * e) 1 shape
        let holes = shape |> Array.filter ((=) -1) |> Array.length
        let target = if holes = 1 && known > 0 && x.Count % known = 0 then shape |> Array.map (fun e -> if e = -1 then x.Count / known else e) else shape
        if Array.exists (fun e -> e < 0) target || Shape.count target <> x.Count then
            Shape.fail "reshape" $"{Shape.show shape} must have as many elements as the operand ({x.Count})" "one extent may be -1" [ x ]
        if target = x.Shape then x
        else
            let source = match x.Op with Op.Movement Movement.Reshape -> x.Inputs[0] | _ -> x
            if source.Shape = target then source else node (Op.Movement Movement.Reshape) [| source |] x.DType target
    /// Axis i of the result is axis `permutation[i]` of the operand.
    let permute (permutation: int[]) (x: Tensor) =
        let p = permutation |> Array.map (Shape.axis "permute" x)
        if p.Length <> x.Rank || (Array.distinct p).Length <> p.Length then
            Shape.fail "permute" $"{Shape.show permutation} must name every axis once" "" [ x ]
        if p = Array.init x.Rank id then x
        else node (Op.Movement(Movement.Permute p)) [| x |] x.DType (p |> Array.map (fun a -> x.Shape[a]))
    /// Stretched to `shape` by NumPy's rule: new axes in front, axes of extent 1 repeated.
    let broadcast (shape: int[]) (x: Tensor) =
        checkCount "broadcast" shape
        let fits = x.Rank <= shape.Length && Shape.tryBroadcast x.Shape shape = Ok shape
        if not fits then
            Shape.fail "broadcast" $"each extent must be 1 or equal that of {Shape.show shape}, aligned at the last axis" "" [ x ]
        let lifted = reshape (Array.append (Array.create (shape.Length - x.Rank) 1) x.Shape) x
        if lifted.Shape = shape then lifted
        else node (Op.Movement Movement.Broadcast) [| lifted |] x.DType shape
    /// Elements starts, starts + steps, ... before `stops` of every axis (steps positive, bounds inside the axis).
    let slice (starts: int[]) (stops: int[]) (steps: int[]) (x: Tensor) =
        if starts.Length <> x.Rank || stops.Length <> x.Rank || steps.Length <> x.Rank then
            Shape.fail "slice" "starts, stops and steps must have one entry per axis" "" [ x ]
        for i in 0 .. x.Rank - 1 do
            if starts[i] < 0 || stops[i] < starts[i] || stops[i] > x.Shape[i] || steps[i] < 1 then
                Shape.fail "slice" $"0 <= start <= stop <= {x.Shape[i]} and step >= 1 on axis {i}, not {starts[i]}..{stops[i]} by {steps[i]}" "" [ x ]
        let extents = Array.init x.Rank (fun i -> (stops[i] - starts[i] + steps[i] - 1) / steps[i])
        if extents = x.Shape then x
        else node (Op.Movement(Movement.Slice(starts, steps))) [| x |] x.DType extents
    /// `value` (a scalar of the same type) before, after and between the elements of every axis. All amounts are at least 0.
    let pad (low: int[]) (high: int[]) (interior: int[]) (value: Tensor) (x: Tensor) =
        if low.Length <> x.Rank || high.Length <> x.Rank || interior.Length <> x.Rank || value.Rank <> 0 || value.DType <> x.DType then
            Shape.fail "pad" "amounts must have one entry per axis and the value be a scalar of the operand's type" "" [ x; value ]
        if Array.exists (fun n -> n < 0) (Array.concat [ low; high; interior ]) then
            Shape.fail "pad" "amounts must not be negative" "use slice to remove elements" [ x ]
        let shape = Array.init x.Rank (fun i -> low[i] + high[i] + x.Shape[i] + interior[i] * max 0 (x.Shape[i] - 1))
        checkCount "pad" shape
        if shape = x.Shape then x
        else node (Op.Movement(Movement.Pad(low, high, interior))) [| x; value |] x.DType shape
    /// The elements in opposite order along `axes`.
    let reverse (axes: seq<int>) (x: Tensor) =
        let axes = Shape.axes "reverse" x axes |> Array.filter (fun a -> x.Shape[a] > 1)
        if axes.Length = 0 then x
        else node (Op.Movement(Movement.Reverse axes)) [| x |] x.DType x.Shape
    /// Joined along `axis`; the other extents and the types must agree.
    let concat (axis: int) (xs: Tensor[]) =
        if xs.Length = 0 then raise (ShapeException("concat", "at least one operand is needed", "none", ""))
        let axis = Shape.axis "concat" xs[0] axis
        let same (x: Tensor) =
            x.DType = xs[0].DType && x.Rank = xs[0].Rank && Array.forall (fun i -> i = axis || x.Shape[i] = xs[0].Shape[i]) [| 0 .. x.Rank - 1 |]
        match Array.tryFindIndex (same >> not) xs with
        | Some i -> Shape.fail "concat" $"types and all extents but that of axis {axis} must agree (operands 0 and {i})" "" [ xs[0]; xs[i] ]
        | None ->
            let shape = Array.copy xs[0].Shape
            shape[axis] <- Array.sumBy (fun (x: Tensor) -> x.Shape[axis]) xs
            checkCount "concat" shape
            if xs.Length = 1 then xs[0] else node (Op.Movement(Movement.Concat axis)) xs xs[0].DType shape
    let private windows op (w: Window) length (x: Tensor) =
        let span = (w.Size - 1) * w.Dilation + 1
        if w.Size < 1 || w.Step < 1 || w.Dilation < 1 || span > length then
            Shape.fail op $"windows of {w.Size} (dilation {w.Dilation}, step {w.Step}) must fit an axis of {length}" "" [ x ]
        (length - span) / w.Step + 1
    /// Overlapping windows along an axis: [..; n; ..] to [..; windows; ..; size].
    let unfold (w: Window) (x: Tensor) =
        let w = { w with Axis = Shape.axis "unfold" x w.Axis }
        let count = windows "unfold" w x.Shape[w.Axis] x
        let shape = Array.append (Array.mapi (fun i e -> if i = w.Axis then count else e) x.Shape) [| w.Size |]
        checkCount "unfold" shape
        node (Op.Movement(Movement.Unfold w)) [| x |] x.DType shape
    /// The adjoint of unfold: [..; windows; ..; size] summed onto [..; length; ..].
    let fold (w: Window) (length: int) (x: Tensor) =
        if x.Rank < 2 || w.Axis < 0 || w.Axis > x.Rank - 2 || x.Shape[x.Rank - 1] <> w.Size || windows "fold" w length x <> x.Shape[w.Axis] then
            Shape.fail "fold" $"the last axis must hold windows of {w.Size}, and axis {w.Axis} one for each place on a length of {length}" "" [ x ]
        let shape = Array.sub x.Shape 0 (x.Rank - 1) |> Array.mapi (fun i e -> if i = w.Axis then length else e)
        checkCount "fold" shape
        let t = DType.arithmetic x.DType
        let result = node (Op.Movement(Movement.Fold(w, length))) [| cast t x |] t shape
        if x.DType = DType.Bool then result else cast x.DType result

    // ---- elementwise
    /// An elementwise function of one tensor. Float functions take integers as f32, and 16-bit floats by way of f32.
    let unary (u: Unary) (x: Tensor) =
        let name = Case.name u
        let apply (x: Tensor) = node (Op.Unary u) [| x |] x.DType x.Shape
        let inFloat () =
            let t = if DType.isFloat x.DType then x.DType else DType.F32
            cast t (apply (cast (DType.arithmetic t) x))
        match u with
        | Unary.Not ->
            if DType.isFloat x.DType then Shape.fail name "the operand must be bool or an integer" "" [ x ]
            apply x
        | Unary.Neg | Unary.Abs | Unary.Sign ->
            if x.DType = DType.Bool then Shape.fail name "the operand must be a number" "cast it first" [ x ]
            cast x.DType (apply (cast (DType.arithmetic x.DType) x))
        | Unary.Floor | Unary.Ceil | Unary.Round -> if DType.isFloat x.DType then inFloat () else x
        | Unary.Exp | Unary.Log | Unary.Log1p | Unary.Expm1 | Unary.Sqrt | Unary.Rsqrt | Unary.Sin | Unary.Cos | Unary.Atan | Unary.Tanh | Unary.Erf ->
            inFloat ()
    let private align name (x: Tensor) (y: Tensor) =
        if x.Shape = y.Shape then x, y
        else
            match Shape.tryBroadcast x.Shape y.Shape with
            | Ok shape -> broadcast shape x, broadcast shape y
            | Error(axis, a, b) ->
                let hint = if x.Rank = y.Rank then "" else "axes are aligned at the last one; reshape to line them up"
                Shape.fail name $"shapes must broadcast (axis {axis}: {a} and {b})" hint [ x; y ]
    /// An elementwise function of two tensors, after promotion and broadcasting.
    let binary (b: Binary) (x: Tensor) (y: Tensor) =
        let name = Case.name b
        let x, y = align name x y
        let common = DType.promote x.DType y.DType
        let apply operand result = node (Op.Binary b) [| cast operand x; cast operand y |] result x.Shape
        match b with
        | Binary.Add | Binary.Sub | Binary.Mul | Binary.Div | Binary.Pow | Binary.Rem | Binary.Max | Binary.Min ->
            let number = if common = DType.Bool then DType.I64 else common
            cast number (apply (DType.arithmetic number) (DType.arithmetic number))
        | Binary.Eq | Binary.Ne | Binary.Lt | Binary.Le | Binary.Gt | Binary.Ge ->
            let operand = if common = DType.Bool then DType.Bool else DType.arithmetic common
            apply operand DType.Bool
        | Binary.And | Binary.Or | Binary.Xor ->
            if DType.isFloat common then Shape.fail name "operands must be bool or integers" "" [ x; y ]
            apply common common
        | Binary.Shl | Binary.Shr ->
            if not (DType.isInteger common) then Shape.fail name "operands must be integers" "" [ x; y ]
            apply common common
    /// `a` where the condition holds, else `b`.
    let select (condition: Tensor) (a: Tensor) (b: Tensor) =
        if condition.DType <> DType.Bool then Shape.fail "select" "the condition must be bool" "compare it with something" [ condition; a; b ]
        let a, b = align "select" a b
        let condition, a = align "select" condition a
        let b = broadcast a.Shape b
        let t = DType.promote a.DType b.DType
        node Op.Select [| condition; cast t a; cast t b |] t a.Shape

    // ---- reductions
    /// Folded over `axes`, which disappear. Axes at the end and axes before them are two primitives: their orders of summation differ.
    let rec reduce (r: Reduction) (axes: seq<int>) (x: Tensor) : Tensor =
        let name = Case.name r
        let axes = Shape.axes name x axes
        if axes.Length = 0 then x
        elif DType.arithmetic x.DType <> x.DType then
            match r with
            | Reduction.Sum | Reduction.Prod ->
                let result = reduce r axes (cast (DType.arithmetic x.DType) x)
                if x.DType = DType.Bool then result else cast x.DType result
            | Reduction.Max | Reduction.Min -> cast x.DType (reduce r axes (cast (DType.arithmetic x.DType) x))
        else
            let trailing = axes |> Array.filter (fun a -> Array.forall (fun later -> Array.contains later axes) [| a .. x.Rank - 1 |])
            let leading = axes |> Array.filter (fun a -> not (Array.contains a trailing))
            let empty = axes |> Array.exists (fun a -> x.Shape[a] = 0)
            if empty && (r = Reduction.Max || r = Reduction.Min) then
                Shape.fail name $"axes {Shape.show axes} must not be empty" "an empty set has no largest element" [ x ]
            let over (axes: int[]) (x: Tensor) =
                if axes.Length = 0 then x
                else node (Op.Reduce(r, axes)) [| x |] x.DType (x.Shape |> Array.indexed |> Array.filter (fun (i, _) -> not (Array.contains i axes)) |> Array.map snd)
            x |> over trailing |> over leading
    /// Index (i64) of the first largest or smallest element along an axis, which disappears.
    let argReduce (largest: bool) (axis: int) (x: Tensor) =
        let name = if largest then "argMax" else "argMin"
        let axis = Shape.axis name x axis
        if x.Shape[axis] = 0 then Shape.fail name $"axis {axis} must not be empty" "" [ x ]
        node (Op.ArgReduce(largest, axis)) [| cast (DType.arithmetic x.DType) x |] DType.I64 (Array.removeAt axis x.Shape)
    /// Running sums along an axis, from its start or (reverse) from its end.
    let cumSum (axis: int) (reverse: bool) (x: Tensor) =
        let axis = Shape.axis "cumSum" x axis
        let t = DType.arithmetic x.DType
        let result = node (Op.CumSum(axis, reverse)) [| cast t x |] t x.Shape
        if x.DType = DType.Bool then result else cast x.DType result

    // ---- contraction
    /// The sum over the named axes of products of two tensors: XLA's dot_general.
    let dot (c: Contraction) (x: Tensor) (y: Tensor) =
        let sameLength = c.LeftBatch.Length = c.RightBatch.Length && c.LeftSum.Length = c.RightSum.Length
        let distinct (t: Tensor) (axes: int[]) = (Array.distinct axes).Length = axes.Length && Array.forall (fun a -> a >= 0 && a < t.Rank) axes
        if not sameLength || not (distinct x (Array.append c.LeftBatch c.LeftSum)) || not (distinct y (Array.append c.RightBatch c.RightSum)) then
            Shape.fail "dot" "batch and summed axes must pair up and name each axis once" "" [ x; y ]
        let check what (left: int[]) (right: int[]) =
            Array.iter2 (fun a b -> if x.Shape[a] <> y.Shape[b] then Shape.fail "dot" $"{what} axes {a} and {b} must agree ({x.Shape[a]} and {y.Shape[b]})" "" [ x; y ]) left right
        check "batch" c.LeftBatch c.RightBatch
        check "summed" c.LeftSum c.RightSum
        let free (t: Tensor) (batch: int[]) (sum: int[]) =
            [| for i in 0 .. t.Rank - 1 do if not (Array.contains i batch || Array.contains i sum) then t.Shape[i] |]
        let shape = Array.concat [ c.LeftBatch |> Array.map (fun a -> x.Shape[a]); free x c.LeftBatch c.LeftSum; free y c.RightBatch c.RightSum ]
        checkCount "dot" shape
        let common = DType.promote x.DType y.DType
        let t = DType.arithmetic common
        let result = node (Op.Dot c) [| cast t x; cast t y |] t shape
        if common = DType.Bool then result else cast common result
    /// Convolution (cross-correlation, as everywhere in deep learning).
    let conv (c: Convolution) (x: Tensor) (w: Tensor) =
        let spatial = x.Rank - 2
        let lengths = [ c.Strides; c.PadLow; c.PadHigh; c.LeftDilation; c.RightDilation ]
        if spatial < 0 || w.Rank <> x.Rank || List.exists (fun (a: int[]) -> a.Length <> spatial) lengths then
            Shape.fail "conv" "x [batch; channels; spatial...] and w [out; channels/groups; spatial...] must have the same rank, and each option one entry per spatial axis" "" [ x; w ]
        if c.Groups < 1 || x.Shape[1] <> w.Shape[1] * c.Groups || w.Shape[0] % c.Groups <> 0 then
            Shape.fail "conv" $"x's {x.Shape[1]} channels must be {c.Groups} x the {w.Shape[1]} that w [outputs; channels/groups; ...] takes, and its {w.Shape[0]} outputs divide into {c.Groups} groups" "" [ x; w ]
        if Array.exists (fun s -> s < 1) (Array.concat [ c.Strides; c.LeftDilation; c.RightDilation ]) then
            Shape.fail "conv" "strides and dilations must be at least 1" "" [ x; w ]
        let extent i =
            let size = if x.Shape[i + 2] = 0 then 0 else (x.Shape[i + 2] - 1) * c.LeftDilation[i] + 1
            let kernel = if w.Shape[i + 2] = 0 then 0 else (w.Shape[i + 2] - 1) * c.RightDilation[i] + 1
            let room = size + c.PadLow[i] + c.PadHigh[i] - kernel
            if room < 0 then Shape.fail "conv" $"the kernel ({kernel}) must fit the padded input ({room + kernel}) on spatial axis {i}" "add padding?" [ x; w ]
            room / c.Strides[i] + 1
        let t = DType.promote x.DType w.DType
        let a = DType.arithmetic t
        let shape = Array.append [| x.Shape[0]; w.Shape[0] |] (Array.init spatial extent)
        checkCount "conv" shape
        let result = node (Op.Conv c) [| cast a x; cast a w |] a shape
        if t = DType.Bool then result else cast t result

    // ---- indexing and order
    let private checkIndices op (x: Tensor) (indices: Tensor) axis batch =
        if indices.DType <> DType.I64 && indices.DType <> DType.I32 then Shape.fail op "indices must be i32 or i64" "cast them" [ x; indices ]
        let axis = Shape.axis op x axis
        if batch < 0 || batch > axis || batch > indices.Rank || Array.exists (fun i -> x.Shape[i] <> indices.Shape[i]) [| 0 .. batch - 1 |] then
            Shape.fail op $"the first {batch} axes must be batches shared with the indices, before axis {axis}" "" [ x; indices ]
        axis, Array.concat [ x.Shape[.. axis - 1]; indices.Shape[batch..]; x.Shape[axis + 1 ..] ]
    /// Elements of x at `indices` along `axis`: x.shape[..axis] ++ indices.shape[batch..] ++ x.shape[axis+1..].
    let gather (axis: int) (batch: int) (x: Tensor) (indices: Tensor) =
        let axis, shape = checkIndices "gather" x indices axis batch
        checkCount "gather" shape
        node (Op.Indexing(Indexing.Gather(axis, batch))) [| x; indices |] x.DType shape
    /// `target` with each update added where `gather` with the same indices would read it.
    let scatterAdd (axis: int) (batch: int) (target: Tensor) (indices: Tensor) (updates: Tensor) =
        let axis, shape = checkIndices "scatterAdd" target indices axis batch
        if updates.Shape <> shape || updates.DType <> target.DType || DType.arithmetic target.DType <> target.DType then
            Shape.fail "scatterAdd" $"updates must have the target's arithmetic type and the shape {Shape.show shape}" "" [ target; indices; updates ]
        node (Op.Indexing(Indexing.ScatterAdd(axis, batch))) [| target; indices; updates |] target.DType target.Shape
    let private checkStarts op (x: Tensor) (starts: Tensor[]) =
        if starts.Length <> x.Rank || Array.exists (fun (s: Tensor) -> s.Rank <> 0 || (s.DType <> DType.I64 && s.DType <> DType.I32)) starts then
            Shape.fail op "there must be one i32 or i64 scalar start per axis" "" (x :: List.ofArray starts)
    /// `sizes` elements of each axis from `starts` (rank-0 tensors).
    let dynamicSlice (starts: Tensor[]) (sizes: int[]) (x: Tensor) =
        checkStarts "dynamicSlice" x starts
        if sizes.Length <> x.Rank || Array.exists2 (fun s e -> s < 0 || s > e) sizes x.Shape then
            Shape.fail "dynamicSlice" $"sizes {Shape.show sizes} must fit the operand" "" [ x ]
        node (Op.Indexing Indexing.DynamicSlice) (Array.append [| x |] starts) x.DType sizes
    /// x with `update` written at `starts`.
    let dynamicUpdate (starts: Tensor[]) (update: Tensor) (x: Tensor) =
        checkStarts "dynamicUpdate" x starts
        if update.DType <> x.DType || update.Rank <> x.Rank || Array.exists2 (fun s e -> s > e) update.Shape x.Shape then
            Shape.fail "dynamicUpdate" "the update must have the operand's type and rank, and fit in it" "" [ x; update ]
        node (Op.Indexing Indexing.DynamicUpdate) (Array.append [| x; update |] starts) x.DType x.Shape
    /// The types and shapes of everything a node computes: one entry, except for primitives with several results.
    let results (t: Tensor) =
        match t.Op with
        | Op.Sort _ | Op.TopK _ -> [| t.DType, t.Shape; DType.I64, t.Shape |]
        | Op.Scan s ->
            s.Body.Results |> Array.mapi (fun i r -> r.DType, (if i < s.Carried then r.Shape else Array.append [| s.Length |] r.Shape))
        | Op.Custom c -> c.Body.Results |> Array.map (fun r -> r.DType, r.Shape)
        | Op.Checkpoint l -> l.Results |> Array.map (fun r -> r.DType, r.Shape)
        | Op.Literal _ | Op.Input _ | Op.Parameter _ | Op.Const _ | Op.Iota _ | Op.RandomBits | Op.Unary _ | Op.Binary _ | Op.Select | Op.Cast
        | Op.BitCast | Op.Movement _ | Op.Reduce _ | Op.ArgReduce _ | Op.CumSum _ | Op.Dot _ | Op.Conv _ | Op.Indexing _ | Op.Item _ ->
            [| t.DType, t.Shape |]
    /// The results of a primitive with several, one tensor each.
    let items (call: Tensor) = results call |> Array.mapi (fun i (dtype, shape) -> node (Op.Item i) [| call |] dtype shape)
    let private call op (operands: Tensor[]) (dtype, shape) = items (node op operands dtype shape)
    /// Sorted along an axis, stably: values and their former indices (i64).
    let sort (axis: int) (descending: bool) (x: Tensor) =
        let axis = Shape.axis "sort" x axis
        let r = call (Op.Sort(axis, descending)) [| x |] (x.DType, x.Shape)
        r[0], r[1]
    /// The k largest along the last axis, largest first: values and indices (i64).
    let topK (k: int) (x: Tensor) =
        if x.Rank = 0 || k < 0 || k > x.Shape[x.Rank - 1] then Shape.fail "topK" $"k = {k} must be between 0 and the last extent" "" [ x ]
        let r = call (Op.TopK k) [| x |] (x.DType, Array.append x.Shape[.. x.Rank - 2] [| k |])
        r[0], r[1]

    // ---- calls
    let private checkOperands op (lambda: Lambda) (operands: Tensor[]) =
        let wanted = lambda.Params
        if wanted.Length <> operands.Length || Array.exists2 (fun (d, s: int[]) (t: Tensor) -> t.DType <> d || t.Shape <> s) wanted operands then
            let required = String.Join(" x ", wanted |> Array.map (fun (d, s) -> string d + Shape.show s))
            Shape.fail op $"operands must be {required}" "" (List.ofArray operands)
        if lambda.Results.Length = 0 then raise (ShapeException(op, "the function must have results", "none", ""))
    /// A loop over slices of the scanned operands. `operands` are captured values, initial carries and scanned inputs, in that order.
    let scan (s: Scan) (operands: Tensor[]) =
        let inner = operands |> Array.mapi (fun i t -> if i < s.Captured + s.Carried then t.DType, t.Shape else t.DType, Array.skip (min 1 t.Rank) t.Shape)
        let scannedFits = operands |> Array.indexed |> Array.forall (fun (i, t) -> i < s.Captured + s.Carried || (t.Rank > 0 && t.Shape[0] = s.Length))
        let sane = s.Captured >= 0 && s.Carried >= 0 && s.Captured + s.Carried <= operands.Length && s.Carried <= s.Body.Results.Length
        if s.Body.Results.Length = 0 || not sane then raise (ShapeException("scan", "the body must have results, and the counts must fit", $"{s.Captured} captured, {s.Carried} carried", ""))
        if s.Length < 0 || not scannedFits || inner <> s.Body.Params then
            Shape.fail "scan" $"operands must match the body's parameters, and scanned ones have {s.Length} slices" "" (List.ofArray operands)
        for i in 0 .. s.Carried - 1 do
            let d, e = s.Body.Params[s.Captured + i]
            let r = s.Body.Results[i]
            if r.DType <> d || r.Shape <> e then
                Shape.fail "scan" $"carry {i} must keep its type and shape {d}{Shape.show e} from step to step" "" [ r ]
        let first = s.Body.Results[0]
        call (Op.Scan s) operands (first.DType, (if s.Carried > 0 then first.Shape else Array.append [| s.Length |] first.Shape))
    /// A named function applied to operands, with its own gradient.
    let custom (c: Custom) (operands: Tensor[]) =
        checkOperands c.Name c.Body operands
        call (Op.Custom c) operands (c.Body.Results[0].DType, c.Body.Results[0].Shape)
    /// A function applied to operands, to be recomputed in the backward pass.
    let checkpoint (l: Lambda) (operands: Tensor[]) =
        checkOperands "checkpoint" l operands
        call (Op.Checkpoint l) operands (l.Results[0].DType, l.Results[0].Shape)
    /// The same primitive on other operands of the same types and shapes: how graph transformations rebuild a node.
    let rebuild (t: Tensor) (inputs: Tensor[]) =
        if Array.forall2 (fun a b -> obj.ReferenceEquals(a, b)) t.Inputs inputs then t else Tensor(t.Op, inputs, t.DType, t.Shape) |> seen t

// ------------------------------------------------------------------------------------------------ graphs
/// Walking expressions, however deep, without recursion.
[<RequireQualifiedAccess>]
module Graph =
    /// Every node that `roots` are made of, operands before users, each once. Bodies of Lambdas are not entered.
    let topological (roots: seq<Tensor>) : Tensor[] =
        let seen, order = HashSet<Hash>(), List<Tensor>()
        let stack = Stack<struct (Tensor * int)>()
        for root in roots do
            if seen.Add root.Hash then stack.Push(struct (root, 0))
            while stack.Count > 0 do
                let struct (t, next) = stack.Pop()
                if next = t.Inputs.Length then order.Add t
                else
                    stack.Push(struct (t, next + 1))
                    let operand = t.Inputs[next]
                    if seen.Add operand.Hash then stack.Push(struct (operand, 0))
        order.ToArray()
    /// True when no variable occurs: such an expression has a value.
    let isClosed (t: Tensor) =
        topological [ t ] |> Array.forall (fun n -> match n.Op with Op.Input _ | Op.Parameter _ -> false | _ -> true)

// ------------------------------------------------------------------------------------------------ operators
[<AutoOpen>]
module internal Weak =
    /// A bare number takes the tensor's type; a fraction beside integers is f32.
    let number (beside: Tensor) (x: float) = Op.constant (Constant.ofFloat (if DType.isFloat beside.DType then beside.DType else DType.F32) x)
    let whole (beside: Tensor) (x: int) = Op.constant (Constant.ofInt (if beside.DType = DType.Bool then DType.I64 else beside.DType) (int64 x))
    /// True division: integers divide as f32.
    let divide (x: Tensor) (y: Tensor) =
        let float (t: Tensor) (other: Tensor) = if DType.isFloat t.DType || DType.isFloat other.DType then t else Op.cast DType.F32 t
        Op.binary Binary.Div (float x y) (float y x)

/// Functions that are composed in later files (module Analytic), found by name, once.
type internal Later<'f when 'f :> Delegate and 'f: not struct> private () =
    static let found = Collections.Concurrent.ConcurrentDictionary<string, 'f>()
    static member Find(name: string) =
        found.GetOrAdd(name, fun n -> typeof<Tensor>.Assembly.GetType("Nanograd.Analytic").GetMethod(n, Reflection.BindingFlags.Static ||| Reflection.BindingFlags.Public ||| Reflection.BindingFlags.NonPublic).CreateDelegate<'f>())

type Tensor with
    /// x + y; shapes broadcast.
    static member (+)(x: Tensor, y: Tensor) = Op.binary Binary.Add x y
    /// x + y; the number takes the tensor's type.
    static member (+)(x: Tensor, y: float) = Op.binary Binary.Add x (number x y)
    /// x + y; the number takes the tensor's type.
    static member (+)(x: float, y: Tensor) = Op.binary Binary.Add (number y x) y
    /// x + y; the number takes the tensor's type.
    static member (+)(x: Tensor, y: int) = Op.binary Binary.Add x (whole x y)
    /// x + y; the number takes the tensor's type.
    static member (+)(x: int, y: Tensor) = Op.binary Binary.Add (whole y x) y
    /// x - y; shapes broadcast.
    static member (-)(x: Tensor, y: Tensor) = Op.binary Binary.Sub x y
    /// x - y; the number takes the tensor's type.
    static member (-)(x: Tensor, y: float) = Op.binary Binary.Sub x (number x y)
    /// x - y; the number takes the tensor's type.
    static member (-)(x: float, y: Tensor) = Op.binary Binary.Sub (number y x) y
    /// x - y; the number takes the tensor's type.
    static member (-)(x: Tensor, y: int) = Op.binary Binary.Sub x (whole x y)
    /// x - y; the number takes the tensor's type.
    static member (-)(x: int, y: Tensor) = Op.binary Binary.Sub (whole y x) y
    /// x * y; shapes broadcast.
    static member (*)(x: Tensor, y: Tensor) = Op.binary Binary.Mul x y
    /// x * y; the number takes the tensor's type.
    static member (*)(x: Tensor, y: float) = Op.binary Binary.Mul x (number x y)
    /// x * y; the number takes the tensor's type.
    static member (*)(x: float, y: Tensor) = Op.binary Binary.Mul (number y x) y
    /// x * y; the number takes the tensor's type.
    static member (*)(x: Tensor, y: int) = Op.binary Binary.Mul x (whole x y)
    /// x * y; the number takes the tensor's type.
    static member (*)(x: int, y: Tensor) = Op.binary Binary.Mul (whole y x) y
    /// x / y; integers divide as f32; shapes broadcast.
    static member (/)(x: Tensor, y: Tensor) = divide x y
    /// x / y; integers divide as f32; the number takes the tensor's type.
    static member (/)(x: Tensor, y: float) = divide x (number x y)
    /// x / y; integers divide as f32; the number takes the tensor's type.
    static member (/)(x: float, y: Tensor) = divide (number y x) y
    /// x / y; integers divide as f32; the number takes the tensor's type.
    static member (/)(x: Tensor, y: int) = divide x (whole x y)
    /// x / y; integers divide as f32; the number takes the tensor's type.
    static member (/)(x: int, y: Tensor) = divide (whole y x) y
    /// The rest of x / y, with the sign of x; shapes broadcast.
    static member (%)(x: Tensor, y: Tensor) = Op.binary Binary.Rem x y
    /// The rest of x / y, with the sign of x; the number takes the tensor's type.
    static member (%)(x: Tensor, y: int) = Op.binary Binary.Rem x (whole x y)
    /// The rest of x / y, with the sign of x; the number takes the tensor's type.
    static member (%)(x: Tensor, y: float) = Op.binary Binary.Rem x (number x y)
    /// The bits that both have; of bool: and.
    static member (&&&)(x: Tensor, y: Tensor) = Op.binary Binary.And x y
    /// The bits that one has at least; of bool: or.
    static member (|||)(x: Tensor, y: Tensor) = Op.binary Binary.Or x y
    /// The bits that exactly one has; of bool: xor.
    static member (^^^)(x: Tensor, y: Tensor) = Op.binary Binary.Xor x y
    /// All bits the other way; of bool: not.
    static member (~~~)(x: Tensor) = Op.unary Unary.Not x
    /// -x.
    static member (~-)(x: Tensor) = Op.unary Unary.Neg x
    /// x ** y; shapes broadcast.
    static member Pow(x: Tensor, y: Tensor) = Op.binary Binary.Pow x y
    /// x ** y; the number takes the tensor's type.
    static member Pow(x: Tensor, y: float) = Op.binary Binary.Pow x (number x y)
    /// x ** y; the number takes the tensor's type.
    static member Pow(x: Tensor, y: int) = Op.binary Binary.Pow x (whole x y)
    /// |x|: F#'s abs.
    static member Abs(x: Tensor) = Op.unary Unary.Abs x
    /// e^x: F#'s exp.
    static member Exp(x: Tensor) = Op.unary Unary.Exp x
    /// The natural logarithm: F#'s log.
    static member Log(x: Tensor) = Op.unary Unary.Log x
    /// The square root: F#'s sqrt.
    static member Sqrt(x: Tensor) = Op.unary Unary.Sqrt x
    /// The sine: F#'s sin.
    static member Sin(x: Tensor) = Op.unary Unary.Sin x
    /// The cosine: F#'s cos.
    static member Cos(x: Tensor) = Op.unary Unary.Cos x
    /// The tangent: F#'s tan.
    static member Tan(x: Tensor) = divide (Op.unary Unary.Sin x) (Op.unary Unary.Cos x)
    /// The arc tangent: F#'s atan.
    static member Atan(x: Tensor) = Op.unary Unary.Atan x
    /// The hyperbolic tangent: F#'s tanh.
    static member Tanh(x: Tensor) = Op.unary Unary.Tanh x
    /// Rounded down: F#'s floor.
    static member Floor(x: Tensor) = Op.unary Unary.Floor x
    /// Rounded up: F#'s ceil.
    static member Ceiling(x: Tensor) = Op.unary Unary.Ceil x
    /// Rounded to the nearest integer, halves to even: F#'s round.
    static member Round(x: Tensor) = Op.unary Unary.Round x
    /// Rounded towards zero: F#'s truncate.
    static member Truncate(x: Tensor) = Later<Func<Tensor, Tensor>>.Find("truncate").Invoke x
    /// The logarithm to base 10: F#'s log10.
    static member Log10(x: Tensor) = Later<Func<Tensor, Tensor>>.Find("log10").Invoke x
    /// The arc sine, NaN beyond ±1: F#'s asin.
    static member Asin(x: Tensor) = Later<Func<Tensor, Tensor>>.Find("asin").Invoke x
    /// The arc cosine, NaN beyond ±1: F#'s acos.
    static member Acos(x: Tensor) = Later<Func<Tensor, Tensor>>.Find("acos").Invoke x
    /// The hyperbolic sine: F#'s sinh.
    static member Sinh(x: Tensor) = Later<Func<Tensor, Tensor>>.Find("sinh").Invoke x
    /// The hyperbolic cosine: F#'s cosh.
    static member Cosh(x: Tensor) = Later<Func<Tensor, Tensor>>.Find("cosh").Invoke x
    /// The angle of the point (x, y), from -pi to pi: F#'s atan2.
    static member Atan2(y: Tensor, x: Tensor) = Later<Func<Tensor, Tensor, Tensor>>.Find("atan2").Invoke(y, x)
