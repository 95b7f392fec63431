namespace Nanograd

open System
open System.Collections.Concurrent
open System.Diagnostics
open System.Reflection
open System.Runtime.CompilerServices
open System.Threading

/// Where an expression was built: the line of the user, and the function of the library that it called.
[<NoComparison>]
type Site =
    {
        /// The source file, or "" where the program has no debugging information.
        File: string
        Line: int
        /// The user's function.
        Function: string
        /// What it called: `softmax`, `/`, `grad`.
        Through: string
    }

    /// True when the line is that of a caller: the function itself was left by a tail call.
    member internal s.IsLost = List.contains s.Through [ "nans"; "check" ]

    override s.ToString() =
        if s.IsLost then
            "not known, because the function ended in a tail call (Debug builds and --tailcalls- have none)"
        else
            let place = if s.File = "" then "an unknown line" else $"{IO.Path.GetFileName s.File}:{s.Line}"
            let inside = if s.Function = "" then "" else $" in {s.Function}"
            let called = if s.Through = "" then "" else $" (by {s.Through})"
            place + inside + called

/// Reading the stack, for people who look for a line.
[<RequireQualifiedAccess>]
module internal Site =
    let private ownAssemblies = [ "Nanograd.Core"; "Nanograd.Models"; "Nanograd.CSharp" ]

    let private assemblyOf (m: MethodBase) =
        match m with
        | null -> ""
        | m when isNull m.DeclaringType -> m.Module.Assembly.GetName().Name
        | m -> m.DeclaringType.Assembly.GetName().Name

    let private isOwn (m: MethodBase) = List.contains (assemblyOf m) ownAssemblies

    let private isFramework (m: MethodBase) =
        let name = assemblyOf m
        name = "FSharp.Core" || name.StartsWith("System.", StringComparison.Ordinal)

    let private operators =
        dict
            [ "op_Addition", "+"
              "op_Subtraction", "-"
              "op_Multiply", "*"
              "op_Division", "/"
              "op_Modulus", "%"
              "op_UnaryNegation", "-"
              "Pow", "**" ]

    /// Constructors say no more than the node itself.
    let private isConstructor (m: MethodBase) =
        not (isNull m.DeclaringType) && List.contains m.DeclaringType.Name [ "OpModule"; "Tensor"; "Weak" ]

    /// `f` of a closure that is compiled as `f@12-1.Invoke`, `+` of `op_Addition`.
    let private nameOf (m: MethodBase) =
        let before (mark: char) (s: string) =
            match s.IndexOf mark with
            | -1 -> s
            | i -> s.Substring(0, i)
        let isClosure = not (isNull m.DeclaringType) && m.DeclaringType.Name.Contains '@'
        match operators.TryGetValue m.Name with
        | true, symbol -> symbol
        | _ when isClosure ->
            (match before '@' m.DeclaringType.Name with
             | "clo" -> "" // F# Interactive's name for those without a name
             | name -> name)
        | _ when m.Name.StartsWith("main@", StringComparison.Ordinal) || m.Name = ".cctor" -> ""
        | _ -> before '@' m.Name

    /// The innermost line outside the library, of the caller's stack. None where no user's code is on it.
    [<MethodImpl(MethodImplOptions.NoInlining)>]
    let here () : Site voption =
        let trace = StackTrace(1, false)
        let isUsers i =
            let m = trace.GetFrame(i).GetMethod()
            not (isNull m) && not (isOwn m) && not (isFramework m)
        // Closures that the compiler made have no lines: then the nearest caller that has. (No closure here: a frame is counted
        // from the function that asks.)
        let mutable user, i = -1, 0
        let mutable frame: StackFrame = null
        while i < trace.FrameCount && (isNull frame || isNull (frame.GetFileName())) do
            if isUsers i then
                let next = StackFrame(i + 1, true)
                if user < 0 || not (isNull (next.GetFileName())) then
                    user <- i
                    frame <- next
            i <- i + 1
        if user < 0 then
            ValueNone
        else
            let own =
                seq { user - 1 .. -1 .. 0 } |> Seq.map (fun i -> trace.GetFrame(i).GetMethod()) |> Seq.tryFind isOwn
            let file = frame.GetFileName()
            ValueSome
                { File = if isNull file then "" else file
                  Line = frame.GetFileLineNumber()
                  Function = nameOf (trace.GetFrame(user).GetMethod())
                  Through =
                    match own with
                    | Some m when isConstructor m -> ""
                    | Some m -> nameOf m
                    | None -> "" }

/// Remembers, for every node that is built while it listens, the line that built it and the node whose derivative it belongs to.
[<Sealed; AllowNullLiteral>]
type internal Recorder(computed: Action<Recorder, Storage[], Func<Tensor[]>>) =
    inherit Watcher()
    let sites = ConcurrentDictionary<Hash, Site>()
    let forward = ConcurrentDictionary<Hash, Tensor>()
    let deriving = new ThreadLocal<Tensor>()

    let inheritFrom (table: ConcurrentDictionary<Hash, 'v>) (original: Tensor) (t: Tensor) =
        match table.TryGetValue original.Hash with
        | true, v -> table.TryAdd(t.Hash, v) |> ignore
        | _ -> ()

    override _.Built(t, original) =
        if not (isNull original) then
            inheritFrom sites original t
            inheritFrom forward original t
        elif not (sites.ContainsKey t.Hash) then
            match Site.here () with
            | ValueSome site -> sites.TryAdd(t.Hash, site) |> ignore
            | ValueNone -> ()
            // What the forward pass built before stays a node of the forward pass.
            if not (isNull deriving.Value) then forward.TryAdd(t.Hash, deriving.Value) |> ignore

    override _.Deriving(node) =
        let before = deriving.Value
        deriving.Value <- node
        before

    override r.Computed(results, expressions) = computed.Invoke(r, results, expressions)

    /// Nodes with a line.
    member _.Count = sites.Count

    /// The line that built a node.
    member _.Site(t: Tensor) =
        match sites.TryGetValue t.Hash with
        | true, s -> Some s
        | _ -> None

    /// The node of the forward pass whose derivative a node belongs to.
    member _.Forward(t: Tensor) =
        match forward.TryGetValue t.Hash with
        | true, f -> Some f
        | _ -> None
