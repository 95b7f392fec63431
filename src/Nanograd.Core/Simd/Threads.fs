namespace Nanograd.Simd

open System
open System.Diagnostics
open System.Runtime.ExceptionServices
open System.Threading

/// Work that falls apart into numbered parts which may run in any order, on any thread, at the same time.
/// An object rather than a closure, so that a caller can keep one and fork without making garbage.
[<AbstractClass; AllowNullLiteral>]
type Job() =
    /// Does one part. What it computes must depend on the number alone, never on the thread.
    abstract Run: part: int -> unit

/// The state that the caller and the workers share: one fork at a time.
/// `ticket` holds the number of the fork (high 32 bits) and how many parts are still to be taken (low 32 bits). A part is
/// taken by a compare-and-swap of the whole ticket, so a worker that is late can never take a part of a later fork with
/// what it read of an earlier one.
[<Sealed; AllowNullLiteral>]
type private Fork() =
    [<DefaultValue>]
    val mutable ticket: int64

    [<DefaultValue>]
    val mutable job: Job

    [<DefaultValue>]
    val mutable parts: int

    [<DefaultValue>]
    val mutable unfinished: int

    [<DefaultValue>]
    val mutable failure: ExceptionDispatchInfo | null

    /// True while some part waits to be taken.
    member fork.HasWork = int32 (Volatile.Read &fork.ticket) <> 0

    /// Opens a fork; only the thread that holds the pool calls it, after the previous fork was joined.
    member fork.Open(job: Job, parts: int) =
        fork.job <- job
        fork.parts <- parts
        fork.failure <- null
        Volatile.Write(&fork.unfinished, parts)
        let number = (Volatile.Read &fork.ticket >>> 32) + 1L
        Interlocked.Exchange(&fork.ticket, (number <<< 32) ||| int64 parts) |> ignore

    member private fork.RunPart(job: Job, part: int) =
        try
            try
                match Recording.Current with
                | null -> job.Run part
                | recording ->
                    let start = Stopwatch.GetTimestamp()
                    job.Run part
                    recording.Part start
            with error ->
                let info = ExceptionDispatchInfo.Capture error
                Interlocked.CompareExchange(&fork.failure, info, null) |> ignore
        finally
            Interlocked.Decrement &fork.unfinished |> ignore

    /// Takes and runs parts until none is left.
    member fork.Work() =
        let mutable ticket = Volatile.Read &fork.ticket

        while int32 ticket <> 0 do
            let job = fork.job
            let part = fork.parts - int32 ticket

            if Interlocked.CompareExchange(&fork.ticket, ticket - 1L, ticket) = ticket then fork.RunPart(job, part)

            ticket <- Volatile.Read &fork.ticket

    /// Waits for the parts that workers still run, then raises the first failure, if any.
    member fork.Join() =
        let mutable spinner = SpinWait()

        while Volatile.Read &fork.unfinished <> 0 do
            spinner.SpinOnce -1

        fork.job <- null

        match fork.failure with
        | null -> ()
        | failure -> failure.Throw()

/// A background thread that spins for a moment after each fork and then sleeps until it is woken.
[<Sealed; AllowNullLiteral>]
type private Worker(fork: Fork, isActive: unit -> bool) =
    let signal = new SemaphoreSlim(0)
    let mutable asleep = 0

    // Training steps fork again within microseconds; waking a sleeper costs 5 us or more.
    static let spinTicks = Stopwatch.Frequency * 40L / 1_000_000L

    let spin () =
        let deadline = Stopwatch.GetTimestamp() + spinTicks

        while not fork.HasWork && Stopwatch.GetTimestamp() < deadline do
            Thread.SpinWait 8

    /// Announces the sleep, looks once more, sleeps. Whoever resets `asleep` first decides whether there is a signal to
    /// consume, so no wake-up is lost and none is left over.
    let sleep () =
        Interlocked.Exchange(&asleep, 1) |> ignore

        if not (fork.HasWork && isActive () && Interlocked.Exchange(&asleep, 0) = 1) then signal.Wait()

    let loop () =
        while true do
            spin ()
            if fork.HasWork && isActive () then fork.Work() else sleep ()

    member _.Start(index: int) =
        let thread = Thread(loop, IsBackground = true, Name = $"Nanograd worker {index}")
        thread.Start()

    member _.Wake() =
        if Volatile.Read &asleep = 1 && Interlocked.Exchange(&asleep, 0) = 1 then signal.Release() |> ignore

/// The pool: fork, work along, join.
[<Sealed; AbstractClass>]
type Threads private () =
    static let fork = Fork()
    static let gate = obj ()
    static let mutable workers: Worker[] = [||]
    static let mutable limit = 0 // 0 = the environment variable has not been read yet

    static let parse (text: string | null) =
        match text with
        | null
        | "" -> Environment.ProcessorCount
        | text ->
            match Int32.TryParse text with
            | true, n when n >= 1 && n <= 1024 -> n
            | _ -> invalidOp $"NANOGRAD_THREADS={text}: the number of threads must be from 1 to 1024"

    static let count () =
        if limit = 0 then limit <- parse (Environment.GetEnvironmentVariable "NANOGRAD_THREADS")

        limit

    /// Called with the gate held.
    static let grow (size: int) =
        let old = workers

        let fresh =
            Array.init size (fun i -> if i < old.Length then old[i] else Worker(fork, (fun () -> i + 1 < count ())))

        workers <- fresh

        for i in old.Length .. size - 1 do
            fresh[i].Start(i + 1)

    static let inlineRun (job: Job) (parts: int) =
        for part in 0 .. parts - 1 do
            job.Run part

    static let forkJoin (job: Job) (parts: int) =
        let helpers = min (count ()) parts - 1

        if workers.Length < helpers then grow helpers

        match Recording.Current with
        | null -> ()
        | recording -> recording.Fork()

        fork.Open(job, parts)

        for i in 0 .. helpers - 1 do
            workers[i].Wake()

        fork.Work()
        fork.Join()

    /// How many threads share the work, the caller included. By default `NANOGRAD_THREADS`, or the number of processors.
    /// May exceed the number of processors. Setting it is for tests and start-up, not for while a fork is running.
    static member Count
        with get () = count ()
        and set (n: int) =
            if n < 1 || n > 1024 then invalidArg (nameof n) $"the number of threads must be from 1 to 1024, got {n}"

            limit <- n

    /// Runs parts 0 .. parts-1 of the job and returns when all are done. If parts raise, the first exception reaches the
    /// caller. While a fork is running, any other call - from inside a part, or from another thread of the
    /// application - runs its parts on the calling thread. Allocates nothing.
    static member Run(job: Job, parts: int) =
        if parts <= 1 || count () = 1 || Monitor.IsEntered gate then
            inlineRun job parts
        elif Monitor.TryEnter gate then
            try
                forkJoin job parts
            finally
                Monitor.Exit gate
        else
            inlineRun job parts
