namespace Nanograd.Simd

open System.Collections.Generic
open System.Diagnostics
open System.Threading
open Nanograd

/// A stretch of time: a run of a program (kernel -1), one of its kernels, or the part of a kernel that a thread did. Times
/// are ticks of the stopwatch.
[<Struct>]
type internal Span = { Program: int; Kernel: int; Thread: int; Start: int64; Stop: int64 }

/// Notes what runs when, while somebody profiles. As a rule nobody does: then `Current` is null, and looking at that is
/// all that a run costs. Kernels are numbered in the order in which they stand, those of a loop after the loop itself.
[<Sealed; AllowNullLiteral>]
type internal Recording() =
    /// Parts of kernels beyond this many are not kept: a picture of more would show nothing.
    static let mostParts = 1 <<< 20

    [<DefaultValue>]
    static val mutable private current: Recording

    let programs = List<struct (Plan * MemoryPlan * string[])>()
    let spans = List<Span>()
    let mutable parts = Array.zeroCreate<Span> 0
    let mutable taken = 0
    let mutable forks = 0
    let mutable program = -1
    let mutable kernel = -1

    /// Who takes notes now; null as a rule.
    static member Current: Recording = Recording.current

    /// Takes notes while `body` runs.
    static member During(recording: Recording, body: unit -> unit) =
        let before = Recording.current
        recording.Begin()
        Recording.current <- recording
        try
            body ()
        finally
            Recording.current <- before

    member private _.Begin() = if parts.Length = 0 then parts <- Array.zeroCreate mostParts

    /// What ran: plans, layouts, names of inputs.
    member _.Programs = programs
    /// Runs and kernels, in the order in which they ended.
    member _.Spans = spans
    member _.Parts = System.ArraySegment(parts, 0, min taken parts.Length)
    member _.Forks = forks

    /// Ticks that went into compiling.
    member val Compiling = 0L with get, set

    /// Compiles something.
    member r.Compile(body: unit -> 'r) : 'r =
        let start = Stopwatch.GetTimestamp()
        let result = body ()
        r.Compiling <- r.Compiling + Stopwatch.GetTimestamp() - start
        result

    /// The number of a program, new at first sight.
    member _.NumberOf(plan: Plan, memory: MemoryPlan, inputs: string[]) : int =
        lock programs (fun () ->
            match programs.FindIndex(fun struct (p, _, _) -> obj.ReferenceEquals(p, plan)) with
            | -1 ->
                programs.Add(struct (plan, memory, inputs))
                programs.Count - 1
            | known -> known)

    member private _.Note(number: int, start: int64) =
        let span =
            { Program = program
              Kernel = number
              Thread = Thread.CurrentThread.ManagedThreadId
              Start = start
              Stop = Stopwatch.GetTimestamp() }
        lock spans (fun () -> spans.Add span)

    /// Runs a program.
    member r.Run(number: int, body: unit -> unit) =
        let before = program
        program <- number
        let start = Stopwatch.GetTimestamp()
        body ()
        r.Note(-1, start)
        program <- before

    /// Runs a kernel of the program that runs.
    member r.Kernel(number: int, step: System.Action) =
        let before = kernel
        kernel <- number
        let start = Stopwatch.GetTimestamp()
        step.Invoke()
        r.Note(number, start)
        kernel <- before

    /// A kernel is shared among threads.
    member _.Fork() = forks <- forks + 1

    /// A thread is done with a part of the kernel that runs now.
    member _.Part(start: int64) =
        let i = Interlocked.Increment &taken - 1
        if i < parts.Length then
            parts[i] <-
                { Program = program
                  Kernel = kernel
                  Thread = Thread.CurrentThread.ManagedThreadId
                  Start = start
                  Stop = Stopwatch.GetTimestamp() }
