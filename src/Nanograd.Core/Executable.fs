namespace Nanograd

/// A compiled program: tensors in, tensors out.
[<AbstractClass>]
type Executable() =
    /// How many results there are.
    abstract Results: int

    /// Runs on the values of the inputs, in the order in which the program was compiled. Donated ones are used up: a result
    /// may be the very storage of one.
    abstract Run: inputs: Storage[] * results: Storage[] -> unit

    /// The same, with an array for the results.
    member e.Run(inputs: Storage[]) : Storage[] =
        let results = Array.zeroCreate e.Results
        e.Run(inputs, results)
        results

    /// The most bytes that a run holds at once beyond its inputs, known before it runs.
    abstract PeakBytes: int64

    /// Runs something that runs this program, and says how many milliseconds each kernel took in it. Not while other threads run the program.
    abstract Profile: run: (unit -> unit) -> struct (string * float)[]
    default _.Profile(run) =
        run ()
        [||]

    /// The program as text: its kernels, and where every buffer lives.
    abstract Describe: unit -> string
