namespace Nanograd.Bench

open System
open System.Collections
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text.Json
open System.Text.Json.Nodes
open Nanograd

/// What a process reports of its case.
type Side =
    { Seconds: float
      Least: float
      Repeats: int
      PeakBytes: int64
      Limits: MachineLimits option
      Version: string }

/// A process of its own for each measurement: no leftovers of the one before.
module private Fresh =
    /// Standard output, or what went wrong.
    let run (program: string) (arguments: string list) (change: Specialized.StringDictionary -> unit) =
        let start = ProcessStartInfo(program, arguments, RedirectStandardOutput = true, RedirectStandardError = true)
        change start.EnvironmentVariables
        try
            use p = Process.Start start
            let errors = p.StandardError.ReadToEndAsync()
            let output = p.StandardOutput.ReadToEnd()
            p.WaitForExit()
            if p.ExitCode = 0 then Ok output else Error(errors.Result.Trim())
        with :? ComponentModel.Win32Exception as e ->
            Error e.Message

    let lastLine (text: string) = JsonNode.Parse(text.Trim().Split('\n') |> Array.last)

    let orFail what result =
        match result with
        | Ok output -> output
        | Error message -> failwith $"{what}: {message}"

    let number (x: float) = x.ToString CultureInfo.InvariantCulture

/// Our side.
module Ours =
    /// The verb of the process that measures one case; not for people.
    let Verb = "measure-one"

    let private threadsVariable = "NANOGRAD_THREADS"

    /// In a process of its own.
    let start (case: Case) (folder: string) (budget: float) (writes: bool) : Side =
        // Started by `dotnet run` this is a program of its own, started by `dotnet FILE.dll` it is the argument of one.
        let isHosted = IO.Path.GetFileNameWithoutExtension Environment.ProcessPath = "dotnet"
        let own = if isHosted then [ Reflection.Assembly.GetExecutingAssembly().Location ] else []
        let arguments = own @ [ Verb; case.Name; folder; Fresh.number budget; string writes ]
        let change (environment: Specialized.StringDictionary) =
            case.Threads |> Option.iter (fun n -> environment[threadsVariable] <- string n)
        let r = Fresh.run Environment.ProcessPath arguments change |> Fresh.orFail $"{case.Name} here" |> Fresh.lastLine
        let get (name: string) = r[name].GetValue<float>()
        { Seconds = get "ms" / 1e3
          Least = get "min" / 1e3
          Repeats = int (get "repeats")
          PeakBytes = int64 (get "peak_bytes")
          Limits = Some(JsonSerializer.Deserialize<MachineLimits> r["limits"])
          Version = string Environment.Version }

    /// Operands and results of the first run are written where the peer and the comparison look for them.
    let private prepare (case: Case) (folder: string) (writes: bool) =
        let work = case.Prepare()
        if writes then Exchange.write folder "operands" work.Operands
        work.Operands <- [||]
        let results = work.First()
        if writes then Exchange.write folder "ours" results
        work.Again

    /// What the process does.
    let measureOne (case: Case) (folder: string) (budget: float) (writes: bool) : unit =
        let again = prepare case folder writes
        let times = Clock.measure budget again
        let peak = Process.GetCurrentProcess().PeakWorkingSet64 // before the limits take memory
        let report = JsonObject()
        report["ms"] <- times.Median * 1e3
        report["min"] <- times.Least * 1e3
        report["repeats"] <- float times.Count
        report["peak_bytes"] <- float peak
        report["limits"] <- JsonSerializer.SerializeToNode(Machine.measure ())
        printfn "%s" (report.ToJsonString())

/// PyTorch.
module Peer =
    /// Variables that a shell may have set and that change how fast OpenBLAS, OpenMP or malloc are.
    let private cleared =
        [ "OPENBLAS_"
          "GOTO_"
          "OMP_"
          "GOMP_"
          "KMP_"
          "MKL_"
          "BLIS_"
          "ATEN_"
          "MALLOC_"
          "DNNL_"
          "ONEDNN_"
          "LD_LIBRARY_PATH"
          "LD_PRELOAD" ]

    /// OpenBLAS on PyTorch's own threads (Debian: libopenblas0-openmp).
    let private openMp = "/usr/lib/x86_64-linux-gnu/openblas-openmp"

    /// The strongest setting of PyTorch 1.13 on a processor with AVX-512: BLAS on the same threads, AVX-512 kernels, and a
    /// malloc that keeps memory, so that large results are not fresh pages each time.
    let private tuned =
        [ "LD_LIBRARY_PATH", openMp
          "OPENBLAS_CORETYPE", "SkylakeX"
          "ATEN_CPU_CAPABILITY", "avx512"
          "MALLOC_MMAP_MAX_", "0"
          "MALLOC_TRIM_THRESHOLD_", "100000000000"
          "MALLOC_TOP_PAD_", "268435456" ]

    let private isAvx512 = Runtime.Intrinsics.X86.Avx512F.IsSupported

    let private setUp (environment: Specialized.StringDictionary) =
        let names = [ for name in environment.Keys -> string name ]
        for name in names do
            if cleared |> List.exists (fun (p: string) -> name.StartsWith(p, StringComparison.OrdinalIgnoreCase)) then
                environment.Remove name
        for name, value in tuned do
            let isAbsent = name = "LD_LIBRARY_PATH" && not (Directory.Exists value)
            let isForeign = not isAvx512 && (name = "OPENBLAS_CORETYPE" || name = "ATEN_CPU_CAPABILITY")
            if not isAbsent && not isForeign then environment[name] <- value

    let private script = Path.Combine(AppContext.BaseDirectory, "peer.py")

    /// A Python that has PyTorch, and PyTorch's version.
    let find (given: string option) : Result<string * string, string> =
        let candidates =
            match given with
            | Some python -> [ python ]
            | None -> [ "python3"; "/usr/bin/python3" ]
        let version python =
            match Fresh.run python [ "-c"; "import torch, numpy; print(torch.__version__)" ] setUp with
            | Ok text -> Some(python, text.Trim())
            | Error _ -> None
        match List.tryPick version candidates with
        | Some found -> Ok found
        | None ->
            let tried = String.Join(" or ", candidates)
            Error $"PyTorch is not installed for {tried}, so only our side runs; --python names another one."

    /// What of the tuned setting this machine does not have.
    let missing: string option =
        if Directory.Exists openMp then
            None
        else
            Some
                $"{openMp} is absent (Debian's libopenblas0-openmp), so PyTorch's products are slower than they could be"

    let start (python: string) (case: Case) (folder: string) (budget: float) (writes: bool) : Side =
        let threads = defaultArg case.Threads Nanograd.Simd.Threads.Count
        let arguments =
            [ script; case.Name; folder; "--threads"; string threads; "--budget"; Fresh.number budget ]
            @ (if writes then [ "--results" ] else [])
        let r = Fresh.run python arguments setUp |> Fresh.orFail $"{case.Name} in PyTorch" |> Fresh.lastLine
        { Seconds = r["ms"].GetValue<float>() / 1e3
          Least = r["min"].GetValue<float>() / 1e3
          Repeats = r["repeats"].GetValue<int>()
          PeakBytes = r["peak_bytes"].GetValue<int64>()
          Limits = None
          Version = r["version"].GetValue<string>() }
