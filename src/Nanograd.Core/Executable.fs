namespace Nanograd

/// A compiled program: tensors in, tensors out.
[<AbstractClass>]
type Executable() =
    /// Runs on the values of the inputs, in the order in which the program was compiled. Donated ones are used up.
    abstract Run: inputs: Storage[] -> Storage[]

    /// The most bytes that a run holds at once beyond its inputs, known before it runs.
    abstract PeakBytes: int64

    /// The program as text: its kernels, and where every buffer lives.
    abstract Describe: unit -> string
