namespace Nanograd.Simd

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Diagnostics
open System.Text
open Microsoft.FSharp.NativeInterop
open Nanograd

/// Scratch memory of the calling thread, grown as needed and kept.
[<AbstractClass; Sealed>]
type internal ThreadScratch private () =
    [<ThreadStatic; DefaultValue>]
    static val mutable private block: Block

    static member Take(bytes: int64) : nativeint =
        if isNull ThreadScratch.block || ThreadScratch.block.Bytes < bytes then
            ThreadScratch.block <- Buffers.block (bytes + 4096L)
        ThreadScratch.block.Pointer

/// One loop nest at work in one run: parts are ranges of rows (or of columns).
[<Sealed>]
type internal LoopJob(loop: Loop, buffers: nativeint[], note: nativeint) =
    inherit Job()
    let code = NestCompiler.get loop.Nest
    let arguments = loop.Nest.Arguments.Length
    let axes = loop.Extents.Length
    let length = int64 loop.Extents[axes - 1]
    let isColumns = loop.Nest.Kind = NestKind.Columns
    let rows = if axes >= 2 then int64 loop.Extents[axes - 2] else 1L
    let outer = loop.Extents |> Seq.truncate (max 0 (axes - 2)) |> Seq.fold (fun n e -> n * int64 e) 1L
    let sizes =
        loop.Nest.Arguments |> Array.map (fun a -> if a.Access = Access.Count then 1L else int64 (DType.size a.DType))
    let work = outer * rows * length * int64 (max 4 loop.Nest.Values.Length)
    /// Below this, waking another thread costs more than it saves.
    let wanted = if work < 60_000L then 1 else Threads.Count
    /// Cut along the inner axis, where that is allowed and there are too few rows to share.
    let cutInner =
        if isColumns then outer < int64 wanted else code.Divisible && outer * rows < 4L * int64 wanted && length >= 256L
    let units =
        if cutInner then (length + 63L) / 64L
        elif isColumns then outer
        else outer * rows
    let parts = int (min units (if wanted = 1 then 1L else int64 (wanted * (if cutInner || units < 64L then 1 else 4))))
    let scalars =
        loop.Scalars
        |> Array.map (fun c ->
            match c.DType with
            | DType.F32
            | DType.F16
            | DType.BF16 -> int64 (BitConverter.SingleToUInt32Bits(float32 c.Float))
            | DType.F64
            | DType.I64
            | DType.I32
            | DType.U32
            | DType.U8
            | DType.I8
            | DType.Bool -> int64 c.Bits)

    let frameSize = Frame.size arguments scalars.Length

    /// Fills in where each argument starts for outer index `o`, row `r` and inner index `c`.
    let place (frame: nativeptr<int64>) (o: int64) (r: int64) (c: int64) =
        for a in 0 .. arguments - 1 do
            let form = loop.Operands[a].Form
            let mutable position = int64 form.Offset + c * int64 form.Strides[axes - 1]
            if axes >= 2 then position <- position + r * int64 form.Strides[axes - 2]
            let mutable rest = o
            for d in axes - 3 .. -1 .. 0 do
                let e = int64 loop.Extents[d]
                position <- position + rest % e * int64 form.Strides[d]
                rest <- rest / e
            let b = loop.Operands[a].Buffer
            NativePtr.set frame (Frame.bases + a) (if b < 0 then position else int64 buffers[b] + position * sizes[a])

    let call (frame: nativeptr<int64>) (count: int64) (inner: int64) =
        NativePtr.set frame Frame.rows count
        NativePtr.set frame Frame.length inner
        code.Code.Invoke(NativePtr.toNativeInt frame)

    member _.Parts = parts
    member _.Lanes = code.Lanes

    override _.Run(part) =
        let frame = NativePtr.stackalloc<int64> frameSize
        let scratch = ThreadScratch.Take(code.Scratch length rows)
        NativePtr.set frame Frame.scratch (int64 scratch)
        NativePtr.set frame Frame.note (int64 note)
        for a in 0 .. arguments - 1 do
            let strides = loop.Operands[a].Form.Strides
            NativePtr.set
                frame
                (Frame.rowStrides arguments + a)
                (if axes >= 2 then int64 strides[axes - 2] * sizes[a] else 0L)
            NativePtr.set frame (Frame.strides arguments + a) (int64 strides[axes - 1] * sizes[a])
        for i in 0 .. scalars.Length - 1 do
            NativePtr.set frame (Frame.scalars arguments + i) scalars[i]
        let from, until = units * int64 part / int64 parts, units * int64 (part + 1) / int64 parts
        if cutInner then
            let c0, c1 = min length (from * 64L), min length (until * 64L)
            if c1 > c0 then
                for o in 0L .. outer - 1L do
                    place frame o 0L c0
                    call frame rows (c1 - c0)
        elif isColumns then
            for o in from .. until - 1L do
                place frame o 0L 0L
                call frame rows length
        else
            let mutable at = from
            while at < until do
                let o, r = at / rows, at % rows
                let count = min (rows - r) (until - at)
                place frame o r 0L
                call frame count length
                at <- at + count

/// A matrix product at work in one run.
[<Sealed>]
type internal ProductJob(product: Nanograd.Product, buffers: nativeint[]) =
    let element =
        match product.DType with
        | DType.F64 -> Element.F64
        | DType.F32 -> Element.F32
        | DType.I64 -> Element.I64
        | DType.I32 -> Element.I32
        | DType.U32 -> Element.U32
        | DType.U8 -> Element.U8
        | DType.I8 -> Element.I8
        | DType.F16
        | DType.BF16
        | DType.Bool -> invalidOp $"products of {product.DType} are computed in another type"
    let view (t: int[][]) : View = { Batch = t[0]; Rows = t[1]; Columns = t[2] }
    let plan =
        Gemm.plan
            { Element = element
              M = product.ResultOffsets[1].Length
              N = product.ResultOffsets[2].Length
              K = product.LeftOffsets[2].Length
              Batches = product.ResultOffsets[0].Length
              A = view product.LeftOffsets
              B = view product.RightOffsets
              C = view product.ResultOffsets }

    member _.Run() = Gemm.run plan buffers[product.Left] buffers[product.Right] buffers[product.Result]

/// target[i] += update[i] for one row.
module internal AddRow =
    let inline ofType<'T when 'T: unmanaged and 'T: (static member (+): 'T * 'T -> 'T)>
        (target: nativeint)
        (update: nativeint)
        (count: int)
        =
        let t, u = NativePtr.ofNativeInt<'T> target, NativePtr.ofNativeInt<'T> update
        for c in 0 .. count - 1 do
            NativePtr.set t c (NativePtr.get t c + NativePtr.get u c)

/// Rows added to a table at places that are data: parts are ranges of columns, so that each element has one adder, in order.
[<Sealed>]
type internal ScatterJob
    (
        buffers: nativeint[],
        note: nativeint,
        target: int,
        indices: int,
        updates: int,
        result: int,
        n: int,
        k: int,
        inner: int,
        dtype: DType,
        indexType: DType
    ) =
    inherit Job()
    let size = DType.size dtype
    let parts = if int64 k * int64 inner < 20_000L then 1 else min Threads.Count (max 1 (inner / 16))

    let index (i: int) =
        if indexType = DType.I64 then
            NativePtr.get (NativePtr.ofNativeInt<int64> buffers[indices]) i
        else
            int64 (NativePtr.get (NativePtr.ofNativeInt<int> buffers[indices]) i)

    let row (buffer: int) (i: int64) (c0: int) = buffers[buffer] + nativeint ((i * int64 inner + int64 c0) * int64 size)

    let addRows (add: nativeint -> nativeint -> int -> unit) (c0: int) (c1: int) =
        for i in 0 .. k - 1 do
            let target = Runtime.Check(index i, int64 n, note)
            add (row result target c0) (row updates (int64 i) c0) (c1 - c0)

    member _.Parts = parts

    override _.Run(part) =
        let c0, c1 = int (int64 inner * int64 part / int64 parts), int (int64 inner * int64 (part + 1) / int64 parts)
        for row in 0 .. n - 1 do
            let offset = nativeint ((int64 row * int64 inner + int64 c0) * int64 size)
            Buffer.MemoryCopy(
                NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte>(buffers[target] + offset)),
                NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte>(buffers[result] + offset)),
                int64 (c1 - c0) * int64 size,
                int64 (c1 - c0) * int64 size
            )
        match dtype with
        | DType.F32 -> addRows AddRow.ofType<float32> c0 c1
        | DType.F64 -> addRows AddRow.ofType<float> c0 c1
        | DType.I64 -> addRows AddRow.ofType<int64> c0 c1
        | DType.I32 -> addRows AddRow.ofType<int> c0 c1
        | DType.U32 -> addRows AddRow.ofType<uint32> c0 c1
        | DType.U8 -> addRows AddRow.ofType<byte> c0 c1
        | DType.I8 -> addRows AddRow.ofType<sbyte> c0 c1
        | DType.F16
        | DType.BF16
        | DType.Bool -> invalidOp $"scatterAdd of {dtype} is computed in another type"

/// Everything one run needs for itself: two runs of a program at once have two of these.
[<Sealed>]
type internal Lease(plan: Plan, memory: MemoryPlan) =
    let arena = Buffers.block (max 64L memory.ArenaBytes)
    let noteBlock = Buffers.block 64L
    let note = noteBlock.Pointer
    let buffers = Array.zeroCreate<nativeint> plan.Buffers.Length

    do
        memory.Homes
        |> Array.iteri (fun b home ->
            match home with
            | Home.Arena offset -> buffers[b] <- arena.Pointer + nativeint offset
            | _ -> ())

    let reference (buffers: nativeint[]) (node: Tensor) (operands: int[]) (results: int[]) =
        let input b (i: Tensor) = Storage(i.DType, i.Count, buffers[b], arena)
        let bindings = Dictionary<Hash, Storage>()
        let variables = node.Inputs |> Array.mapi (fun i t -> Op.input $"r{i}" t.DType t.Shape)
        Array.iter2 (fun (v: Tensor) b -> bindings[v.Hash] <- input b v) variables operands
        let again = Op.rebuild node variables
        let outputs =
            match node.Op with
            | Op.Sort _
            | Op.TopK _ -> Op.items again
            | _ -> [| again |]
        let values = Interpreter.evaluate bindings outputs
        Array.iter2
            (fun b (s: Storage) ->
                let bytes = int64 s.Length * int64 (DType.size s.DType)
                Buffer.MemoryCopy(
                    NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> s.Pointer),
                    NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> buffers[b]),
                    bytes,
                    bytes
                ))
            results
            values

    /// Raises what the last kernel noted, in the words of the primitive that the index belongs to.
    let raiseNoted (checks: Tensor[]) =
        let n = NativePtr.ofNativeInt<int64> note
        if NativePtr.get n 0 <> 0L then
            NativePtr.set n 0 0L
            let index, bound = NativePtr.get n 1, int (NativePtr.get n 2)
            let window (t: Tensor) =
                let x = t.Inputs[0]
                match t.Op with
                | Op.Indexing Indexing.DynamicSlice ->
                    Seq.zip x.Shape t.Shape
                    |> Seq.tryFind (fun (size, taken) -> size - taken + 1 = bound)
                    |> Option.map (fun (size, taken) -> IndexException("dynamicSlice", index, size, taken))
                | _ -> None
            match Array.tryPick window checks with
            | Some e -> raise e
            | None ->
                let name =
                    if checks |> Array.exists (fun t -> t.Op = Op.Indexing(Indexing.ScatterAdd(0, 0))) then
                        "scatterAdd"
                    else
                        "gather"
                raise (IndexException(name, index, bound))

    /// What each kernel of a plan (this one, or the body of a loop in it) does on buffers, ready to run.
    let rec prepare (plan: Nanograd.Plan) (buffers: nativeint[]) : Action[] =
        plan.Kernels
        |> Array.map (fun kernel ->
            match kernel with
            | Kernel.Loop l ->
                let job = LoopJob(l, buffers, note)
                Action(fun () ->
                    Threads.Run(job, job.Parts)
                    if l.Checks.Length > 0 then raiseNoted l.Checks)
            | Kernel.Product p ->
                let job = ProductJob(p, buffers)
                Action(fun () -> job.Run())
            | Kernel.Scatter(target, indices, updates, result, struct (n, k, inner, _), node) ->
                let job =
                    ScatterJob(
                        buffers,
                        note,
                        target,
                        indices,
                        updates,
                        result,
                        n,
                        k,
                        inner,
                        node.DType,
                        node.Inputs[1].DType
                    )
                Action(fun () ->
                    Threads.Run(job, job.Parts)
                    raiseNoted [| node |])
            | Kernel.Repeat r ->
                let job = RepeatJob(r, buffers, prepare)
                Action(fun () -> job.Run())
            | Kernel.Reference(node, operands, results) -> Action(fun () -> reference buffers node operands results))

    let steps = prepare plan buffers

    do NativePtr.set (NativePtr.ofNativeInt<int64> note) 0 0L

    /// Time spent in each kernel so far, in ticks of the stopwatch, when somebody asked for it.
    member val Ticks: int64[] = null with get, set

    member lease.Run(inputs: Storage[], outputs: Storage[]) =
        memory.Homes
        |> Array.iteri (fun b home ->
            match home with
            | Home.Input i -> buffers[b] <- inputs[i].Pointer
            | Home.InPlace i ->
                buffers[b] <- inputs[i].Pointer
                match plan.Buffers[b].Place with
                | Place.Output o -> outputs[o] <- inputs[i]
                | _ -> ()
            | Home.Fresh o ->
                outputs[o] <- Buffers.allocate plan.Buffers[b].DType plan.Buffers[b].Length
                buffers[b] <- outputs[o].Pointer
            | Home.Arena _
            | Home.Nowhere -> ())
        if isNull lease.Ticks then
            for step in steps do
                step.Invoke()
        else
            for k in 0 .. steps.Length - 1 do
                let start = Stopwatch.GetTimestamp()
                steps[k].Invoke()
                lease.Ticks[k] <- lease.Ticks[k] + Stopwatch.GetTimestamp() - start
        GC.KeepAlive arena
        GC.KeepAlive noteBlock
        GC.KeepAlive inputs

/// A program compiled for the CPU.
[<Sealed>]
type internal SimdExecutable(plan: Plan, donated: bool[]) =
    inherit Executable()
    let memory = MemoryPlan.make plan donated
    let leases = ConcurrentBag<Lease>()

    do // said before anything runs, not by a killed process
        let available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes
        if memory.PeakBytes > available then
            let megabytes (bytes: int64) = bytes / 1_000_000L
            raise (
                InvalidOperationException
                    $"This program needs {megabytes memory.PeakBytes} MB at once, and this machine has {megabytes available} MB; try smaller batches or shorter sequences."
            )

    do leases.Add(Lease(plan, memory)) // kernels are made now, not at the first run

    override _.PeakBytes = memory.PeakBytes

    override _.Run(inputs) =
        let outputs = Array.zeroCreate<Storage> plan.Results.Length
        let lease =
            match leases.TryTake() with
            | true, l -> l
            | _ -> Lease(plan, memory)
        lease.Run(inputs, outputs)
        leases.Add lease
        outputs

    override _.Profile(run) =
        let lease = Lease(plan, memory)
        lease.Ticks <- Array.zeroCreate plan.Kernels.Length
        leases.Clear()
        leases.Add lease
        run ()
        let name k = (Kernel.show plan.Kernels[k]).Split('\n').[0]
        let result =
            lease.Ticks |> Array.mapi (fun k t -> struct (name k, float t * 1000.0 / float Stopwatch.Frequency))
        lease.Ticks <- null
        result

    override _.Describe() =
        let text = StringBuilder()
        plan.Kernels
        |> Array.iteri (fun i k ->
            let lanes =
                match k with
                | Kernel.Loop l -> $"({(NestCompiler.get l.Nest).Lanes} lanes) "
                | _ -> ""
            text.Append($"[{i}] {lanes}").Append(Kernel.show k) |> ignore)
        plan.Buffers
        |> Array.iteri (fun b buffer ->
            text.Append($"b{b}: {buffer.DType}[{buffer.Length}] {memory.Homes[b]}\n") |> ignore)
        text.Append($"arena {memory.ArenaBytes} bytes, peak {memory.PeakBytes} bytes\n").ToString()
