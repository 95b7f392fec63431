namespace Nanograd.Simd

open System
open Microsoft.FSharp.NativeInterop
open Nanograd

/// A loop at work in one run: the kernels of its body, on buffers whose addresses move from step to step.
[<Sealed>]
type internal RepeatJob(repeat: Repeat, outer: nativeint[], prepare: Nanograd.Plan -> nativeint[] -> Action[]) =
    let body = repeat.Body
    let inner = Array.zeroCreate<nativeint> body.Buffers.Length
    let kernels = prepare body inner
    let first = repeat.Captured + repeat.Carried
    let bytes (b: int) = nativeint (int64 body.Buffers[b].Length * int64 (DType.size body.Buffers[b].DType))
    let inputs =
        repeat.Operands |> Array.mapi (fun i _ -> body.Buffers |> Array.findIndex (fun b -> b.Place = Place.Input i))
    let isAhead j =
        repeat.Carries
        |> Array.exists (fun c ->
            match c with
            | Carry.StackedBefore output -> output = j
            | Carry.Stacked _
            | Carry.Alternating _
            | Carry.InPlace -> false)
    /// The body's buffers that are rows of buffers of the program: theirs, the program's, and the size of a row.
    let moving =
        [| for i in first .. repeat.Operands.Length - 1 do
               struct (inputs[i], repeat.Operands[i], bytes inputs[i])
           for j in 0 .. body.Results.Length - repeat.Carried - 1 do
               let b = body.Results[repeat.Carried + j]
               if not (isAhead j) then struct (b, repeat.Results[repeat.Carried + j], bytes b) |]

    let copy (source: nativeint) (target: nativeint) (count: nativeint) =
        Buffer.MemoryCopy(
            NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> source),
            NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> target),
            int64 count,
            int64 count
        )

    let row step = if repeat.Reverse then repeat.Length - 1 - step else step
    let address buffer (size: nativeint) step = outer[buffer] + nativeint (row step) * size

    /// Says where carry k is found and left in a step.
    let placeCarry step k =
        let found, left = inputs[repeat.Captured + k], body.Results[k]
        let initial = outer[repeat.Operands[repeat.Captured + k]]
        let final = if repeat.Results[k] < 0 then 0n else outer[repeat.Results[k]]
        let isLast = step = repeat.Length - 1
        match repeat.Carries[k] with
        | Carry.InPlace ->
            inner[found] <- if step = 0 then initial else final
            inner[left] <- final
        | Carry.Alternating other ->
            let isOther = (repeat.Length - step) % 2 = 0
            let before, after = if isOther then final, outer[other] else outer[other], final
            inner[found] <- if step = 0 then initial else before
            inner[left] <- after
        | Carry.Stacked output -> // left by `moving`
            let stack = repeat.Results[repeat.Carried + output]
            inner[found] <- if step = 0 then initial else address stack (bytes left) (step - 1)
        | Carry.StackedBefore output ->
            let stack = repeat.Results[repeat.Carried + output]
            inner[found] <- address stack (bytes found) step
            inner[left] <- if isLast then final else address stack (bytes left) (step + 1)

    /// What does not move, and carries that are found in stacks.
    let start () =
        for b in 0 .. inner.Length - 1 do
            match repeat.Memory.Homes[b] with
            | Home.Arena offset -> inner[b] <- outer[repeat.Scratch] + nativeint offset
            | Home.Input _
            | Home.InPlace _
            | Home.Fresh _
            | Home.SameAs _
            | Home.Nowhere -> ()
        for i in 0 .. repeat.Captured - 1 do
            inner[inputs[i]] <- outer[repeat.Operands[i]]
        for k in 0 .. repeat.Carried - 1 do
            match repeat.Carries[k] with
            | Carry.StackedBefore output ->
                let size = bytes body.Results[k]
                let stack = repeat.Results[repeat.Carried + output]
                copy outer[repeat.Operands[repeat.Captured + k]] (address stack size 0) size
            | Carry.Stacked _
            | Carry.Alternating _
            | Carry.InPlace -> ()

    /// Other states of buffers, after those have their addresses.
    let states =
        repeat.Memory.Homes
        |> Array.indexed
        |> Array.choose (fun (b, home) ->
            match home with
            | Home.SameAs other -> Some(struct (b, other))
            | Home.Input _
            | Home.InPlace _
            | Home.Fresh _
            | Home.Arena _
            | Home.Nowhere -> None)

    member _.Run() =
        start ()
        for step in 0 .. repeat.Length - 1 do
            for struct (b, buffer, size) in moving do
                inner[b] <- address buffer size step
            for k in 0 .. repeat.Carried - 1 do
                placeCarry step k
            for struct (b, other) in states do
                inner[b] <- inner[other]
            for kernel in kernels do
                kernel.Invoke()
