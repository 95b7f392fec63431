namespace Nanograd

open System
open System.Collections
open System.Collections.Generic
open System.Runtime.ExceptionServices
open System.Threading

/// What a job gave.
[<NoComparison; NoEquality>]
type private Prepared<'B> =
    | Made of 'B
    | Failed of ExceptionDispatchInfo

/// The results of jobs 0, 1, ..., count - 1 in this order, computed by threads of its own. At most `ahead` jobs are begun or done
/// and not yet read. The first failure in this order ends the sequence. `Dispose` waits until all threads have ended.
[<Sealed>]
type private Crew<'B>(workers: int, ahead: int, count: int, job: (unit -> bool) -> int -> 'B, token: CancellationToken)
    =
    let gate = obj ()
    let results: Prepared<'B> voption[] = Array.create ahead ValueNone // of job j at j mod ahead
    let mutable next = 0 // the first job that nobody has begun
    let mutable reading = 0 // the job whose result is read next
    let mutable stop = false
    let mutable current = Unchecked.defaultof<'B>

    let halt () =
        lock gate (fun () ->
            stop <- true
            Monitor.PulseAll gate)

    /// A job to do; waits while those ahead fill the queue. None when there is nothing left to do.
    let take () =
        lock gate (fun () ->
            while not stop && next < count && next >= reading + ahead do
                Monitor.Wait gate |> ignore
            if stop || next >= count then
                ValueNone
            else
                next <- next + 1
                ValueSome(next - 1))

    let isStopped () = Volatile.Read &stop

    let work () =
        let mutable place = take ()
        while place.IsSome do
            let outcome =
                try
                    Made(job isStopped place.Value)
                with e ->
                    Failed(ExceptionDispatchInfo.Capture e)
            lock gate (fun () ->
                results[place.Value % ahead] <- ValueSome outcome
                Monitor.PulseAll gate)
            place <- take ()

    let threads =
        Array.init (min workers count) (fun i -> Thread(work, IsBackground = true, Name = $"nanograd loader {i}"))

    let mutable watch = Unchecked.defaultof<CancellationTokenRegistration>

    do
        threads |> Array.iter (fun t -> t.Start())
        watch <- token.Register halt

    let read () =
        lock gate (fun () ->
            while not stop && results[reading % ahead].IsNone do
                Monitor.Wait gate |> ignore
            if stop then
                ValueNone
            else
                let outcome = results[reading % ahead]
                results[reading % ahead] <- ValueNone
                reading <- reading + 1
                Monitor.PulseAll gate
                outcome)

    interface IEnumerator<'B> with
        member _.Current: 'B = current
        member _.Current: obj = box current

        member _.MoveNext() =
            token.ThrowIfCancellationRequested()
            if reading >= count || stop then
                false
            else
                match read () with
                | ValueSome(Made value) ->
                    current <- value
                    true
                | ValueSome(Failed error) ->
                    halt ()
                    error.Throw()
                    false
                | ValueNone ->
                    token.ThrowIfCancellationRequested()
                    false

        member _.Reset() = raise (NotSupportedException())

    interface IDisposable with
        member _.Dispose() =
            halt ()
            watch.Dispose()
            for t in threads do
                if t <> Thread.CurrentThread then t.Join()

/// Work that is done before somebody asks for its results.
[<RequireQualifiedAccess>]
module internal Prefetch =
    let private sequence (make: unit -> IEnumerator<'B>) : seq<'B> =
        { new IEnumerable<'B> with
            member _.GetEnumerator() : IEnumerator<'B> = make ()
            member _.GetEnumerator() : IEnumerator = make () }

    /// `job isStopped 0`, `job isStopped 1`, ... in order: on the reader's thread without workers, else on threads that are at most
    /// `ahead` results ahead. `isStopped` tells a long job that nobody will read its result.
    let ordered workers ahead count (job: (unit -> bool) -> int -> 'B) (token: CancellationToken) : seq<'B> =
        if workers <= 0 then
            seq {
                for i in 0 .. count - 1 do
                    token.ThrowIfCancellationRequested()
                    yield job (fun () -> token.IsCancellationRequested) i
            }
        else
            sequence (fun () -> new Crew<'B>(workers, max ahead 1, count, job, token))

    /// The elements of a sequence, read by one thread that is at most `ahead` elements ahead.
    let behind (ahead: int) (source: seq<'B>) : seq<'B> =
        sequence (fun () ->
            let elements = source.GetEnumerator()
            // One worker, so one element at a time; None ends the sequence.
            let job _ _ = if elements.MoveNext() then Some elements.Current else None
            let crew = ordered 1 ahead Int32.MaxValue job CancellationToken.None
            let read =
                seq {
                    use _ = elements
                    use each = crew.GetEnumerator()
                    let mutable isOver = false
                    while not isOver && each.MoveNext() do
                        match each.Current with
                        | Some value -> yield value
                        | None -> isOver <- true
                }
            read.GetEnumerator())
