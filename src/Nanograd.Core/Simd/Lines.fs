namespace Nanograd.Simd

open System
open System.Numerics
open System.Runtime.CompilerServices
open Microsoft.FSharp.NativeInterop
open Nanograd

/// Room for the lines that one thread sorts.
[<Sealed>]
type internal SortRoom() =
    let mutable keys: uint64[] = [||]
    let mutable positions: int[] = [||]

    member _.Reserve(count: int) =
        if keys.Length < count then
            keys <- Array.zeroCreate count
            positions <- Array.zeroCreate count

    member _.Keys = keys
    member _.Positions = positions

/// Numbers as unsigned integers in the same order: NaN is the largest and equals itself, -0 equals +0.
[<AbstractClass; Sealed>]
type internal SortKey private () =
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member OfSingle(x: float32) : uint32 =
        if Single.IsNaN x then
            UInt32.MaxValue
        else
            let bits = BitConverter.SingleToInt32Bits(x + 0.0f)
            uint32 (bits ^^^ ((bits >>> 31) ||| Int32.MinValue))

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member OfDouble(x: float) : uint64 =
        if Double.IsNaN x then
            UInt64.MaxValue
        else
            let bits = BitConverter.DoubleToInt64Bits(x + 0.0)
            uint64 (bits ^^^ ((bits >>> 63) ||| Int64.MinValue))

    /// The keys of `count` elements `step` apart. Keys of types up to 4 bytes fit 32 bits.
    static member Read(dtype: DType, source: nativeint, step: int, count: int, keys: uint64[]) =
        let inline read (key: 'T -> uint64) =
            let p = NativePtr.ofNativeInt<'T> source
            for i in 0 .. count - 1 do
                keys[i] <- key (NativePtr.get p (i * step))
        let signed (x: int64) = uint64 (uint32 (int x ^^^ Int32.MinValue))
        match dtype with
        | DType.F64 -> read SortKey.OfDouble
        | DType.F32 -> read (fun (x: float32) -> uint64 (SortKey.OfSingle x))
        | DType.F16 -> read (fun (x: Half) -> uint64 (SortKey.OfSingle(Half.op_Explicit x: float32)))
        | DType.BF16 -> read (fun (x: uint16) -> uint64 (SortKey.OfSingle(Constant.ofBfloat16Bits x)))
        | DType.I64 -> read (fun (x: int64) -> uint64 x ^^^ (1UL <<< 63))
        | DType.I32 -> read (fun (x: int) -> signed (int64 x))
        | DType.I8 -> read (fun (x: sbyte) -> signed (int64 x))
        | DType.U32 -> read (fun (x: uint32) -> uint64 x)
        | DType.U8
        | DType.Bool -> read (fun (x: byte) -> uint64 x)

/// Sorting one line after the other: values and the positions they had.
[<Sealed>]
type internal SortJob(l: Lines, descending: bool, wanted: int, parts: int, buffers: nativeint[]) =
    inherit Job()
    let size = DType.size l.DType
    let short = size <= 4
    let length = l.Length
    let step = l.Inner

    /// Keys in ascending order, equal ones by position: all of them.
    let sortAll (room: SortRoom) (count: int) =
        let keys, positions = room.Keys, room.Positions
        if short then
            // Key and position in one number: no two are equal.
            for i in 0 .. count - 1 do
                keys[i] <- (keys[i] <<< 32) ||| uint64 positions[i]
            Array.Sort(keys, 0, count)
            for i in 0 .. count - 1 do
                positions[i] <- int (uint32 keys[i])
        else
            Array.Sort(keys, positions, 0, count)
            let mutable i = 0
            while i < count do
                let mutable stop = i + 1
                while stop < count && keys[stop] = keys[i] do
                    stop <- stop + 1
                if stop - i > 1 then Array.Sort(positions, i, stop - i)
                i <- stop

    /// A heap of the `wanted` least so far, the greatest of them first; equal keys count by position.
    let selectFew (room: SortRoom) =
        let keys, positions = room.Keys, room.Positions
        let after i j = keys[i] > keys[j] || (keys[i] = keys[j] && positions[i] > positions[j])
        let swap i j =
            let k, p = keys[i], positions[i]
            keys[i] <- keys[j]
            positions[i] <- positions[j]
            keys[j] <- k
            positions[j] <- p
        let rec sink i =
            let child = 2 * i + 1
            if child < wanted then
                let child = if child + 1 < wanted && after (child + 1) child then child + 1 else child
                if after child i then
                    swap i child
                    sink child
        for i in wanted / 2 - 1 .. -1 .. 0 do
            sink i
        for i in wanted .. length - 1 do
            if keys[i] < keys[0] then // an equal one comes later, and so loses
                keys[0] <- keys[i]
                positions[0] <- i
                sink 0

    let line (room: SortRoom) (o: int) (i: int) =
        let source = buffers[l.Source] + nativeint ((o * length * step + i) * size)
        let keys, positions = room.Keys, room.Positions
        SortKey.Read(l.DType, source, step, length, keys)
        let mask =
            if not descending then 0UL
            elif short then 0xFFFFFFFFUL
            else UInt64.MaxValue
        for k in 0 .. length - 1 do
            keys[k] <- keys[k] ^^^ mask
            positions[k] <- k
        if wanted * 8 < length then
            selectFew room
            sortAll room wanted
        else
            sortAll room length
        let first = o * wanted * step + i
        let values = buffers[l.Results[0]] + nativeint (first * size)
        let places = NativePtr.ofNativeInt<int64>(buffers[l.Results[1]] + nativeint (first * 8))
        let inline pick (_: 'T) =
            let s, t = NativePtr.ofNativeInt<'T> source, NativePtr.ofNativeInt<'T> values
            for k in 0 .. wanted - 1 do
                NativePtr.set t (k * step) (NativePtr.get s (positions[k] * step))
        match size with
        | 8 -> pick 0L
        | 4 -> pick 0
        | 2 -> pick 0us
        | _ -> pick 0uy
        for k in 0 .. wanted - 1 do
            NativePtr.set places (k * step) (int64 positions[k])

    override _.Run(part) =
        let lines = int64 l.Outer * int64 l.Inner
        let from, until = lines * int64 part / int64 parts, lines * int64 (part + 1) / int64 parts
        let room = Rental<SortRoom>.Rent()
        try
            room.Reserve length
            if wanted > 0 then
                for n in from .. until - 1L do
                    line room (int (n / int64 l.Inner)) (int (n % int64 l.Inner))
        finally
            Rental<SortRoom>.Return room

/// The position of the first extreme element of every line; the first NaN, if there is one.
[<Sealed>]
type internal ArgReduceJob<'T
    when 'T: unmanaged and 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType and 'T :> INumber<'T>>
    (l: Lines, largest: bool, parts: int, buffers: nativeint[]) =
    inherit Job()

    override _.Run(part) =
        let lines = int64 l.Outer * int64 l.Inner
        let from, until = lines * int64 part / int64 parts, lines * int64 (part + 1) / int64 parts
        let source = NativePtr.ofNativeInt<'T> buffers[l.Source]
        let target = NativePtr.ofNativeInt<int64> buffers[l.Results[0]]
        for n in from .. until - 1L do
            let start = int (n / int64 l.Inner) * l.Length * l.Inner + int (n % int64 l.Inner)
            let mutable best = NativePtr.get source start
            let mutable at = 0
            let mutable i = if 'T.IsNaN best then l.Length else 1
            let mutable place = start + l.Inner
            while i < l.Length do
                let x = NativePtr.get source place
                // False for a NaN too, so that one test finds both.
                let loses = if largest then 'T.op_LessThanOrEqual (x, best) else 'T.op_GreaterThanOrEqual (x, best)
                if not loses then
                    best <- x
                    at <- i
                    if 'T.IsNaN x then i <- l.Length
                i <- i + 1
                place <- place + l.Inner
            NativePtr.set target (int n) (int64 at)

/// Running sums: rows of vectors where lines lie side by side, else some lines at a time, since each is one chain.
[<Sealed>]
type internal CumSumJob<'T
    when 'T: unmanaged and 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType and 'T :> INumber<'T>>
    (l: Lines, reverse: bool, parts: int, buffers: nativeint[]) =
    inherit Job()
    let length = l.Length
    let step = if reverse then -1 else 1
    let origin = if reverse then length - 1 else 0

    /// Columns c0 .. c1-1 of one outer index.
    let columns (source: nativeptr<'T>) (target: nativeptr<'T>) (c0: int) (c1: int) =
        let width = Vector<'T>.Count
        for i in 0 .. length - 1 do
            let row = (origin + i * step) * l.Inner
            let before = row - step * l.Inner
            let mutable c = c0
            if i = 0 then
                while c < c1 do
                    NativePtr.set target (row + c) (NativePtr.get source (row + c))
                    c <- c + 1
            else
                while c + width <= c1 do
                    let x = Vector.Load(NativePtr.add source (row + c))
                    Vector.Store(Vector.Load(NativePtr.add target (before + c)) + x, NativePtr.add target (row + c))
                    c <- c + width
                while c < c1 do
                    NativePtr.set
                        target
                        (row + c)
                        ('T.op_Addition (NativePtr.get target (before + c), NativePtr.get source (row + c)))
                    c <- c + 1

    let one (source: nativeptr<'T>) (target: nativeptr<'T>) (line: int) =
        let mutable at = line * length + origin
        let mutable sum = NativePtr.get source at
        NativePtr.set target at sum
        for _ in 1 .. length - 1 do
            at <- at + step
            sum <- 'T.op_Addition (sum, NativePtr.get source at)
            NativePtr.set target at sum

    let four (source: nativeptr<'T>) (target: nativeptr<'T>) (line: int) =
        let mutable at = line * length + origin
        let far = length
        let mutable a, b = NativePtr.get source at, NativePtr.get source (at + far)
        let mutable c, d = NativePtr.get source (at + 2 * far), NativePtr.get source (at + 3 * far)
        NativePtr.set target at a
        NativePtr.set target (at + far) b
        NativePtr.set target (at + 2 * far) c
        NativePtr.set target (at + 3 * far) d
        for _ in 1 .. length - 1 do
            at <- at + step
            a <- 'T.op_Addition (a, NativePtr.get source at)
            b <- 'T.op_Addition (b, NativePtr.get source (at + far))
            c <- 'T.op_Addition (c, NativePtr.get source (at + 2 * far))
            d <- 'T.op_Addition (d, NativePtr.get source (at + 3 * far))
            NativePtr.set target at a
            NativePtr.set target (at + far) b
            NativePtr.set target (at + 2 * far) c
            NativePtr.set target (at + 3 * far) d

    override _.Run(part) =
        let source, target =
            NativePtr.ofNativeInt<'T> buffers[l.Source], NativePtr.ofNativeInt<'T> buffers[l.Results[0]]
        let share n = int (int64 n * int64 part / int64 parts), int (int64 n * int64 (part + 1) / int64 parts)
        if l.Inner = 1 then
            let from, until = share l.Outer
            let mutable line = from
            while line + 4 <= until do
                four source target line
                line <- line + 4
            while line < until do
                one source target line
                line <- line + 1
        else
            // A part is a range of columns of all outer indices together.
            let from, until = share (l.Outer * l.Inner)
            let mutable at = from
            while at < until do
                let o = at / l.Inner
                let stop = min until ((o + 1) * l.Inner)
                let start = o * length * l.Inner
                columns
                    (NativePtr.add source start)
                    (NativePtr.add target start)
                    (at - o * l.Inner)
                    (stop - o * l.Inner)
                at <- stop

/// What is done to lines, as jobs.
[<RequireQualifiedAccess>]
module internal Lines =
    /// Lines are shared among threads; a line is worked on by one.
    let parts (l: Lines) : int =
        let lines, work = int64 l.Outer * int64 l.Inner, int64 l.Outer * int64 l.Inner * int64 l.Length
        if work < 20_000L then 1 else int (min lines (int64 (4 * Threads.Count)))

    let job (l: Lines) (buffers: nativeint[]) : Job =
        match l.Work with
        | LineWork.Sort(descending, count) -> SortJob(l, descending, count, parts l, buffers)
        | LineWork.ArgReduce largest ->
            OnNumber.on
                l.DType
                { new OnNumber<Job> with
                    member _.Of<'T
                        when 'T: unmanaged
                        and 'T: struct
                        and 'T: (new: unit -> 'T)
                        and 'T :> ValueType
                        and 'T :> INumber<'T>>
                        ()
                        =
                        ArgReduceJob<'T>(l, largest, parts l, buffers) :> Job }
        | LineWork.CumSum reverse ->
            OnNumber.on
                l.DType
                { new OnNumber<Job> with
                    member _.Of<'T
                        when 'T: unmanaged
                        and 'T: struct
                        and 'T: (new: unit -> 'T)
                        and 'T :> ValueType
                        and 'T :> INumber<'T>>
                        ()
                        =
                        CumSumJob<'T>(l, reverse, parts l, buffers) :> Job }
