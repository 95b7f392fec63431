namespace Nanograd

open System

/// Trouble-shooting: where NaN and infinities come from, and how gradients flow. See docs/debugging.md.
[<RequireQualifiedAccess>]
module Debug =
    let private raiseOn (report: NonFiniteReport) =
        let missing =
            "The compiled program gave NaN or infinities, but no expression does when each is computed on its own: a rewriting rule changed what overflows. Compare with Program.withoutRewriting."
        raise (NonFiniteException(report, (if report.IsFinite then missing else string report)))

    /// What evaluation does while `check` or `enable` listens.
    let private verify =
        Action<Recorder, Storage[], Func<Tensor[]>>(fun recorder results expressions ->
            if not (Array.forall NonFinite.isFinite results) then
                raiseOn (NonFinite.find recorder (expressions.Invoke())))

    let private listening (recorder: Recorder) (body: unit -> 'r) : 'r =
        let before = Watcher.Current
        Watcher.Current <- recorder
        try
            body ()
        finally
            Watcher.Current <- before

    /// Runs `f`, which builds a tensor or a tree of them, and says which subexpression first turned NaN or infinite, the ranges
    /// of its operands, the line that built it, the step of the loop, and, in a gradient, the expression whose derivative it is.
    /// Every subexpression is computed on its own: slow, but nothing is hidden. Functions compiled with `jit` are looked into.
    let nans (f: unit -> 'T) : NonFiniteReport =
        let mutable earlier = ValueNone // of what was evaluated while f ran
        let note =
            Action<Recorder, Storage[], Func<Tensor[]>>(fun recorder results expressions ->
                if earlier.IsNone && not (Array.forall NonFinite.isFinite results) then
                    earlier <- ValueSome(NonFinite.find recorder (expressions.Invoke())))
        let recorder = Recorder note
        listening recorder (fun () ->
            let tree = f ()
            match NonFinite.find recorder (Tree.leaves tree), earlier with
            | last, ValueSome before when last.First.IsSome && before.First.IsSome -> before
            | last, _ -> last)

    /// Runs `f` and raises NonFiniteException at the first evaluation (printing, `eval`, `item`, a compiled function) whose
    /// result is NaN or infinite, with the report of `nans`. Values are those that `f` gives without it, bit for bit.
    let check (f: unit -> 'T) : 'T =
        let recorder = Recorder verify
        listening recorder (fun () ->
            let tree = f ()
            let closed = Tree.leaves tree |> Array.filter Graph.isClosed
            Program.evaluate closed |> ignore // so that what nobody looked at is checked too
            tree)

    /// From now on every evaluation is checked, as by `check`, until `disable`.
    let enable () = Watcher.Current <- Recorder verify

    /// Ends what `enable` began.
    let disable () = Watcher.Current <- null

    /// Runs `f` and writes what the compiler does meanwhile, as NANOGRAD_DEBUG=level does: 1 kernels and milliseconds, 2 schedule
    /// and memory, 3 expressions, 4 kernels as pseudo-code, 5 what each pass leaves, 6 every rule that fires. Programs that were
    /// compiled before are not mentioned.
    let log (level: int) (writer: IO.TextWriter) (f: unit -> 'T) : 'T =
        if level < 0 || level > 6 then invalidArg "level" $"Debug.log: the level must be between 0 and 6, not {level}"
        Log.at level writer f

    /// Nodes whose lines are known: 0 unless somebody debugs.
    let internal recorded () =
        match Watcher.Current with
        | :? Recorder as r -> r.Count
        | _ -> 0

    /// The line that built an expression, if it was built while `nans`, `check` or `enable` listened.
    let siteOf (t: Tensor) : Site option =
        match Watcher.Current with
        | :? Recorder as r -> r.Site t
        | _ -> None

    /// How the gradient of a scalar loss flows to each parameter (any tree of tensors): norms, the part of zeros, and what looks
    /// wrong: dead, vanishing, exploding, sparse or NaN gradients, with the thresholds that the report names. Printing it gives a
    /// table with bars on a logarithmic scale.
    let gradientFlow (loss: 'T -> Tensor) (parameters: 'T) : GradientFlow = GradientFlow.measure loss parameters
