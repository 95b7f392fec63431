namespace Nanograd.Bench

open System
open System.IO
open Nanograd

/// A case measured on both sides, or on ours alone.
[<NoComparison; NoEquality>]
type Outcome =
    {
        Case: Case
        /// Seconds of one unit of work: medians over the rounds.
        Ours: float
        Theirs: float option
        /// The median over pairs of processes of their time by ours: above 1 we are faster.
        Ratio: float option
        /// How much of the machine's limit we use.
        Share: float option
        Error: float option
        PeakBytes: int64
        TheirPeakBytes: int64 option
        Limits: MachineLimits
        Rounds: int
    }

    /// Wrong numbers are a failure, however fast they came.
    member o.IsWrong =
        match o.Error with
        | Some e -> not (e <= o.Case.Tolerance)
        | None -> false

[<RequireQualifiedAccess>]
module Contest =
    /// Rounds of one process here and one there, in turn; who comes first changes from round to round.
    let private rounds (python: string option) (count: int) (budget: float) (case: Case) (folder: string) =
        [ for round in 0 .. count - 1 do
              let isFirst = round = 0
              let ours () = Ours.start case folder budget isFirst
              match python with
              | None -> ours (), None
              | Some python ->
                  let theirs () = Peer.start python case folder budget isFirst
                  if round % 2 = 0 then
                      let o = ours ()
                      o, Some(theirs ())
                  else
                      let t = theirs ()
                      ours (), Some t ]

    let private shareOf (case: Case) (side: Side) =
        let machine = side.Limits.Value
        let work =
            match case.Limit with
            | Limit.Arithmetic -> case.Flop
            | _ -> case.Bytes
        case.Limit.Of machine |> Option.map (fun limit -> work * float case.Units / side.Seconds / limit)

    let private conclude (case: Case) (error: float option) (pairs: (Side * Side option) list) : Outcome =
        let units = float case.Units
        let ours, theirs = List.map fst pairs, List.choose snd pairs
        let some f values = if List.isEmpty values then None else Some(f values)
        let seconds (sides: Side list) = Clock.median (sides |> List.map (fun s -> s.Seconds)) / units
        let least (sides: Side list) = sides |> List.map (fun s -> s.PeakBytes) |> List.min
        { Case = case
          Ours = seconds ours
          Theirs = some seconds theirs
          Ratio =
            pairs |> List.choose (fun (o, t) -> t |> Option.map (fun t -> t.Seconds / o.Seconds)) |> some Clock.median
          Share = ours |> List.choose (shareOf case) |> some Clock.median
          Error = error
          PeakBytes = least ours // the first round also wrote files
          TheirPeakBytes = some least theirs
          Limits = Clock.medianOfLimits (ours |> List.map (fun s -> s.Limits.Value))
          Rounds = pairs.Length }

    let run (python: string option) (count: int) (budget: float) (case: Case) : Outcome =
        let folder = Directory.CreateTempSubdirectory "nanograd-bench-"
        try
            let pairs = rounds python count budget case folder.FullName
            let error =
                python
                |> Option.map (fun _ ->
                    let read name = Exchange.readFloats folder.FullName name
                    Compare.error case.IsAdam (read "ours") (read "peer"))
            conclude case error pairs
        finally
            folder.Delete true
