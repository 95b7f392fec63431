/// How long Nanograd takes for standard pieces of work, beside what the machine could do at best and beside PyTorch.
module Nanograd.Bench.Program

open System
open System.Globalization
open System.IO
open Nanograd
open Nanograd.Bench.Cases

let private usage =
    """dotnet run -c Release --project bench -- [vs-torch] [options]
  vs-torch            against PyTorch: both sides in fresh processes, in turn, on the same numbers; without it ours alone
  --case NAME[,NAME]  these cases; all otherwise. --list names them
  --rounds N          pairs of processes a case (3; 1 for ours alone)
  --budget SECONDS    of timed runs a process (1)
  --json              one line of JSON a case
  --markdown FILE     writes the table there too
  --python PATH       the Python that has PyTorch (python3, else /usr/bin/python3)"""

[<NoComparison; NoEquality>]
type private Options =
    { Cases: Case list
      VsTorch: bool
      Json: bool
      Rounds: int option
      Budget: float
      Markdown: string option
      Python: string option }

let private positive name (text: string) =
    match Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture) with
    | true, value when value > 0.0 -> value
    | _ -> failwith $"{name} must be a number above 0, not {text}"

let rec private parse (o: Options) (arguments: string list) : Options =
    match arguments with
    | [] -> o
    | "vs-torch" :: rest -> parse { o with VsTorch = true } rest
    | "--json" :: rest -> parse { o with Json = true } rest
    | "--budget" :: seconds :: rest -> parse { o with Budget = positive "--budget" seconds } rest
    | "--rounds" :: count :: rest -> parse { o with Rounds = Some(max 1 (int (positive "--rounds" count))) } rest
    | "--markdown" :: file :: rest -> parse { o with Markdown = Some file } rest
    | "--python" :: path :: rest -> parse { o with Python = Some path } rest
    | "--case" :: names :: rest -> parse { o with Cases = names.Split ',' |> List.ofArray |> List.map All.find } rest
    | other :: _ -> failwith $"what is {other}?\n{usage}"

/// The Python to run against and its PyTorch's version.
let private peerOf (o: Options) =
    if not o.VsTorch then
        None
    else
        match Peer.find o.Python with
        | Ok found ->
            Peer.missing |> Option.iter (eprintfn "%s")
            Some found
        | Error why ->
            eprintfn "%s" why
            None

/// One case, or the reason why it could not be measured.
let private attempt (o: Options) python (case: Case) =
    let rounds = defaultArg o.Rounds (if Option.isSome python then 3 else 1)
    try
        let outcome = Contest.run python rounds o.Budget case
        printfn "%s" (if o.Json then Report.json outcome else Report.row outcome)
        Some outcome
    with Failure message ->
        eprintfn "%s" message
        None

let private compare (o: Options) : int =
    let peer = peerOf o
    if not o.Json then
        printfn "%s\n" (Report.header (Machine.measure ()))
        printfn "%s" Report.titles
    let outcomes = o.Cases |> List.map (attempt o (Option.map fst peer))
    let done' = List.choose id outcomes
    o.Markdown |> Option.iter (fun file -> File.WriteAllText(file, Report.markdown (Option.map snd peer) done' + "\n"))
    let wrong = done' |> List.filter (fun o -> o.IsWrong)
    for o in wrong do
        eprintfn "%s: the results differ by %g, more than %g" o.Case.Name o.Error.Value o.Case.Tolerance
    if wrong.IsEmpty && done'.Length = outcomes.Length then 0 else 1

[<EntryPoint>]
let main arguments =
    try
        match List.ofArray arguments with
        | [ verb; case; folder; budget; writes ] when verb = Ours.Verb ->
            Ours.measureOne (All.find case) folder (positive "budget" budget) (Boolean.Parse writes)
            0
        | [ "--list" ]
        | [ "vs-torch"; "--list" ] ->
            for c in All.cases do
                printfn "%-24s %s" c.Name c.Config
            0
        | [ "--help" ]
        | [ "-h" ] ->
            printfn "%s" usage
            0
        | arguments ->
            { Cases = All.cases
              VsTorch = false
              Json = false
              Rounds = None
              Budget = 1.0
              Markdown = None
              Python = None }
            |> fun defaults -> parse defaults arguments
            |> compare
    with Failure message ->
        eprintfn "error: %s" message
        2
