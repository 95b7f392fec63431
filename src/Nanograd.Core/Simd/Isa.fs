namespace Nanograd.Simd

open System
open System.Runtime.InteropServices
open System.Runtime.Intrinsics
open System.Runtime.Intrinsics.Arm
open System.Runtime.Intrinsics.X86

/// What the processor offers to emitted kernels: vector width, fused multiply-add, cores.
/// Results never depend on the width; only speed does.
[<RequireQualifiedAccess>]
module Isa =

    /// The environment variable that narrows the vectors: `NANOGRAD_SIMD=128|256|512`.
    [<Literal>]
    let Variable = "NANOGRAD_SIMD"

    /// The widest vectors, in bits, that run in hardware here (128 where nothing wider does).
    let widest =
        if Vector512.IsHardwareAccelerated then 512
        elif Vector256.IsHardwareAccelerated then 256
        else 128

    let private check (source: string) (bits: int) =
        if bits <> 128 && bits <> 256 && bits <> 512 then
            invalidOp $"{source}: a vector width must be 128, 256 or 512 bits, got {bits}"

        if bits > widest then
            invalidOp $"{source}: this machine has no {bits}-bit vectors, the widest are {widest} bits"

        bits

    /// The width that the text of the environment variable asks for; the widest where it is absent or empty.
    let parse (text: string | null) =
        match text with
        | null
        | "" -> widest
        | text ->
            match Int32.TryParse text with
            | true, bits -> check $"{Variable}={text}" bits
            | false, _ -> invalidOp $"{Variable}={text}: a vector width must be 128, 256 or 512"

    // 0 = not read yet. Read at first use and not in a static initialiser, whose failure would reach the user as a
    // TypeInitializationException that hides the name of the variable.
    let mutable private current = 0

    /// The width in bits of the vectors that kernels emitted from now on use.
    let width () =
        if current = 0 then current <- parse (Environment.GetEnvironmentVariable Variable)

        current

    /// Runs a function with kernels of this width. For tests: the setting is global to the process, not per thread, and
    /// plans made before keep the width they were made with.
    let withWidth (bits: int) (body: unit -> 'r) : 'r =
        let saved = width ()
        current <- check "Isa.withWidth" bits

        try
            body ()
        finally
            current <- saved

    /// True where fused multiply-add is one instruction. Elsewhere kernels give the same bits, slowly.
    let hasFma = Fma.IsSupported || AdvSimd.IsSupported || Avx512F.IsSupported

    let private isArm = RuntimeInformation.ProcessArchitecture = Architecture.Arm64

    /// How many vector registers a kernel of this width may count on.
    let registers (bits: int) = if bits = 512 || isArm then 32 else 16

    /// The number of processors this process may use.
    let cores = Environment.ProcessorCount
