module Nanograd.Bench.Cases.All

open Nanograd.Bench

/// In the order of the table.
let cases: Case list =
    List.concat [ Products.all; Passes.all; Convolutions.all; Networks.all; Facade.all; Language.all; Resnet.all ]

let find (name: string) : Case =
    match cases |> List.tryFind (fun c -> c.Name = name) with
    | Some c -> c
    | None ->
        let names = String.concat ", " (cases |> List.map (fun c -> c.Name))
        failwith $"there is no case {name}; there are {names}"
