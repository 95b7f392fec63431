namespace Nanograd.Simd

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Diagnostics
open System.Text
open System.Threading
open Microsoft.FSharp.NativeInterop
open Nanograd

/// The buffers whose memory another run may find elsewhere.
[<Sealed>]
type internal MovingHomes(plan: Plan, homes: Home[]) =
    let choose (f: int -> Home -> 'r voption) : 'r[] =
        Seq.indexed homes |> Seq.choose (fun (b, home) -> f b home |> ValueOption.toOption) |> Seq.toArray
    /// Buffer, input, and the result that takes the input's place (or -1).
    member val Given =
        choose (fun b home ->
            match home, plan.Buffers[b].Place with
            | Home.InPlace i, Place.Output o -> ValueSome(struct (b, i, o))
            | (Home.Input i | Home.InPlace i), _ -> ValueSome(struct (b, i, -1))
            | (Home.Fresh _ | Home.SameAs _ | Home.Arena _ | Home.Nowhere), _ -> ValueNone)
    /// Buffer, offset.
    member val Arena =
        choose (fun b home ->
            match home with
            | Home.Arena offset -> ValueSome(struct (b, offset))
            | Home.Input _
            | Home.InPlace _
            | Home.SameAs _
            | Home.Fresh _
            | Home.Nowhere -> ValueNone)
    /// Buffer, result.
    member val Fresh =
        choose (fun b home ->
            match home with
            | Home.Fresh o -> ValueSome(struct (b, o))
            | Home.Input _
            | Home.InPlace _
            | Home.SameAs _
            | Home.Arena _
            | Home.Nowhere -> ValueNone)
    /// Buffer, the buffer of which it is another state.
    member val Same =
        choose (fun b home ->
            match home with
            | Home.SameAs other -> ValueSome(struct (b, other))
            | Home.Input _
            | Home.InPlace _
            | Home.Fresh _
            | Home.Arena _
            | Home.Nowhere -> ValueNone)

/// Everything one run needs for itself: two runs of a program at once have two of these.
[<Sealed; AllowNullLiteral>]
type internal Lease(plan: Plan, memory: MemoryPlan, homes: MovingHomes) =
    let isShared = memory.ArenaBytes >= Buffers.sharedArena
    let mutable arena = if isShared then null else Buffers.block (max 64L memory.ArenaBytes)
    let noteBlock = Buffers.block 64L
    let note = noteBlock.Pointer
    let buffers = Array.zeroCreate<nativeint> plan.Buffers.Length

    let mutable start = 0n // of the arena that `buffers` points into

    let pointIntoArena () =
        if arena.Pointer <> start then
            start <- arena.Pointer
            for struct (b, offset) in homes.Arena do
                buffers[b] <- start + nativeint offset

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
            raise (Array.tryPick window checks |> Option.defaultValue (IndexException("gather", index, bound)))

    /// Runs a job's parts on all threads.
    let forked (job: Job) (parts: int) = Action(fun () -> Threads.Run(job, parts))

    let nest (loop: Loop) (buffers: nativeint[]) : Action =
        let onBuffers = NestOnBuffers(loop, buffers, note)
        let crossing = if loop.Nest.Kind = NestKind.Rows then Crossing.find loop else ValueNone
        match loop.Nest.Kind with
        | NestKind.Rows when crossing.IsSome ->
            let job = CrossingJob(crossing.Value, buffers, note)
            forked job job.Parts
        | NestKind.Rows when FoldedRowsJob.Suits onBuffers ->
            let job = FoldedRowsJob onBuffers
            Action(fun () ->
                Threads.Run(job, job.Parts)
                job.Complete())
        | NestKind.Rows ->
            let job = RowsJob onBuffers
            forked job job.Parts
        | NestKind.Columns ->
            let job = ColumnsJob onBuffers
            Action(fun () ->
                Threads.Run(job, job.Parts)
                job.Complete())

    /// What each kernel of a plan (this one, or the body of a loop in it) does on buffers, ready to run.
    let rec prepare (wrap: (unit -> Action) -> Action) (plan: Nanograd.Plan) (buffers: nativeint[]) : Action[] =
        let step (kernel: Kernel) : Action =
            match kernel with
            | Kernel.Loop l ->
                let run = nest l buffers
                if l.Checks.Length = 0 then
                    run
                else
                    Action(fun () ->
                        run.Invoke()
                        raiseNoted l.Checks)
            | Kernel.Summed s ->
                let job = SummedRowsJob(s, buffers, note)
                let run () =
                    Threads.Run(job, job.Parts)
                    job.Complete()
                    raiseNoted s.Rows.Checks
                Action run
            | Kernel.Product p ->
                let job = ProductJob(p, buffers, note)
                Action(fun () -> job.Run())
            | Kernel.Conv c ->
                let tile = EpilogueTile.Of(c.Of, buffers, note)
                if SlidingPlan.Suits c then
                    let job = SlidingJob(SlidingPlan c, buffers, tile)
                    Action(fun () -> job.RunAll())
                else
                    let job = ConvJob(ConvPlan c, buffers, tile)
                    Action(fun () -> job.RunAll())
            | Kernel.Lines l ->
                let job = Lines.job l buffers
                forked job (Lines.parts l)
            | Kernel.Fold f ->
                let job = FoldJob.make f buffers
                forked job (FoldJob.parts f)
            | Kernel.Check c ->
                let b = plan.Buffers[c.Indices]
                Action(fun () -> Checks.run c b.DType b.Length buffers)
            | Kernel.Scatter s ->
                let job = ScatterJob.make s plan.Buffers[s.Indices].DType buffers
                Action(fun () ->
                    Move.whole buffers s.Target s.Result plan.Buffers[s.Result]
                    Threads.Run(job, ScatterJob.parts s))
            | Kernel.Update u ->
                let starts = u.Starts |> Array.map (fun b -> plan.Buffers[b].DType)
                Action(fun () ->
                    Move.whole buffers u.Target u.Result plan.Buffers[u.Result]
                    Move.box u starts buffers)
            | Kernel.Attention a ->
                let job = AttentionJob(a, buffers)
                forked job job.Parts
            | Kernel.AttentionGradient g ->
                let job = AttentionGradientJob(g, buffers)
                forked job job.Parts
            | Kernel.Pool p ->
                let job = PoolJob(p, buffers)
                forked job job.Parts
            | Kernel.Repeat r ->
                let job = RepeatJob(r, buffers, prepare wrap)
                Action(fun () -> job.Run())
        plan.Kernels |> Array.map (fun kernel -> wrap (fun () -> step kernel))

    let steps = prepare (fun make -> make ()) plan buffers

    /// The same steps, which tell whoever profiles when they ran.
    let watched =
        lazy
            (let count = ref 0
             let wrap make =
                 let number = count.Value
                 count.Value <- number + 1
                 let step: Action = make ()
                 Action(fun () ->
                     match Recording.Current with
                     | null -> step.Invoke()
                     | recording -> recording.Kernel(number, step))
             prepare wrap plan buffers)

    do NativePtr.set (NativePtr.ofNativeInt<int64> note) 0 0L

    let run (inputs: Storage[]) (outputs: Storage[]) =
        pointIntoArena ()
        for struct (b, i, o) in homes.Given do
            buffers[b] <- inputs[i].Pointer
            if o >= 0 then outputs[o] <- inputs[i]
        for struct (b, o) in homes.Fresh do
            outputs[o] <- Buffers.allocate plan.Buffers[b].DType plan.Buffers[b].Length
            buffers[b] <- outputs[o].Pointer
        for struct (b, other) in homes.Same do
            buffers[b] <- buffers[other]
        let steps = if isNull Recording.Current then steps else watched.Value
        for step in steps do
            step.Invoke()
        GC.KeepAlive arena
        GC.KeepAlive noteBlock
        GC.KeepAlive inputs

    /// Makes the steps for whoever profiles, so that no run takes longer for that.
    member _.Watch() = watched.Force() |> ignore

    member _.Run(inputs: Storage[], outputs: Storage[]) =
        if isShared then
            arena <- Buffers.rentArena memory.ArenaBytes
            try
                run inputs outputs
            finally
                Buffers.giveBackArena arena
                arena <- null
        else
            run inputs outputs

/// A program compiled for the CPU. `names` are those of its inputs, for people.
[<Sealed>]
type internal SimdExecutable(plan: Plan, donated: bool[], names: string[]) =
    inherit Executable()
    let memory = MemoryPlan.make plan donated
    let homes = MovingHomes(plan, memory.Homes)
    let mutable spare: Lease = null
    let others = ConcurrentBag<Lease>() // of runs at the same time

    let rent () =
        match Interlocked.Exchange(&spare, null) with
        | null ->
            match others.TryTake() with
            | true, lease -> lease
            | _ -> Lease(plan, memory, homes)
        | lease -> lease

    let giveBack (lease: Lease) =
        match Interlocked.Exchange(&spare, lease) with
        | null -> ()
        | other -> others.Add other

    do // said before anything runs, not by a killed process
        let available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes
        if memory.PeakBytes > available then
            let megabytes (bytes: int64) = bytes / 1_000_000L
            raise (
                InvalidOperationException
                    $"This program needs {megabytes memory.PeakBytes} MB at once, and this machine has {megabytes available} MB; try smaller batches or shorter sequences."
            )

    do giveBack (Lease(plan, memory, homes)) // kernels are made now, not at the first run

    override _.PeakBytes = memory.PeakBytes
    override _.Results = plan.Results.Length

    override _.Run(inputs, results) =
        let lease = rent ()
        match Recording.Current with
        | null -> lease.Run(inputs, results)
        | recording ->
            recording.Compile(fun () -> lease.Watch())
            recording.Run(recording.NumberOf(plan, memory, names), (fun () -> lease.Run(inputs, results)))
        giveBack lease

    override _.Profile(run) =
        let recording = Recording()
        Recording.During(recording, run)
        let ticks = Array.zeroCreate<int64> (Plans.kernels plan).Length
        let own = recording.NumberOf(plan, memory, names)
        for s in recording.Spans do
            if s.Program = own && s.Kernel >= 0 then ticks[s.Kernel] <- ticks[s.Kernel] + s.Stop - s.Start
        Plans.kernels plan
        |> Array.mapi (fun number placed -> struct (placed, ticks[number]))
        |> Array.filter (fun struct (placed, _) -> placed.Depth = 0)
        |> Array.map (fun struct (placed, ticks) ->
            let name = (Kernel.show placed.Kernel).Split('\n').[0]
            struct (name, float ticks * 1000.0 / float Stopwatch.Frequency))

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
