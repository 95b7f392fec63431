module Nanograd.Bench.Program

open BenchmarkDotNet.Running

[<EntryPoint>]
let main args =
    BenchmarkSwitcher.FromAssembly(System.Reflection.Assembly.GetExecutingAssembly()).Run args |> ignore
    0
