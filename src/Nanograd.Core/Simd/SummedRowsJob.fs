namespace Nanograd.Simd

open System
open Microsoft.FSharp.NativeInterop
open Nanograd

/// Rows and the sums down their columns at work. A part is a block of 256 rows, the least that sums may be made of: a band of a few rows
/// at a time goes through the loop and then into the sums of the block.
[<Sealed>]
type internal SummedRowsJob(kernel: SummedRows, buffers: nativeint[], note: nativeint) =
    inherit Job()
    let blockRows = 256L
    let rows = NestOnBuffers(kernel.Rows, buffers, note)
    let sums = kernel.Sums |> Array.map (fun l -> NestOnBuffers(l, buffers, note))
    let length = rows.Length
    let blocks = (rows.Rows + blockRows - 1L) / blockRows
    let loops = Array.append [| kernel.Rows |] kernel.Sums

    /// How far apart two rows of a loop's operand are, in bytes, if its elements differ: what a row takes of the cache.
    let rowBytes =
        loops
        |> Seq.collect (fun l -> Seq.zip l.Nest.Arguments l.Operands)
        |> Seq.filter (fun (a, o) -> a.Access <> Access.Count && o.Form.Strides[1] <> 0)
        |> Seq.distinctBy (fun (_, o) -> struct (o.Buffer, o.Form))
        |> Seq.sumBy (fun (a, _) -> length * int64 (DType.size a.DType))

    /// Rows that stay in the second cache, as many as sums take at once or a multiple.
    let band = max 4L (min blockRows ((384L <<< 10) / rowBytes / 4L * 4L))

    // ---- memory of a thread: scratch of each loop, then what passes from the rows to the sums

    let aligned (bytes: int64) = (bytes + 127L) / 64L * 64L
    let needs =
        Array.append [| aligned (rows.Code.Scratch length) |] (sums |> Array.map (fun s -> aligned (s.Code.Scratch 0L)))
    let passingRoom = aligned (band * length * 8L)
    let scratchAt = Array.scan (+) 0L needs
    let memoryBytes = scratchAt[needs.Length] + passingRoom * int64 kernel.Passing.Length

    /// For each loop, its arguments that pass, and which of those buffers they are in.
    let passing =
        loops
        |> Array.map (fun l ->
            [| for a in 0 .. l.Operands.Length - 1 do
                   let b = l.Operands[a].Buffer
                   let which = Array.IndexOf(kernel.Passing, b)
                   if b >= 0 && which >= 0 then struct (a, which) |])

    // ---- sums of blocks

    let sumsStride = 8L * ((length + 63L) / 64L * 64L)
    let reductions = sums |> Array.map (fun s -> int64 s.Code.Reductions)
    let firstSum = Array.scan (+) 0L reductions
    let blockBytes = sumsStride * firstSum[sums.Length]
    let shared = Buffers.block (blocks * blockBytes)
    let slot (block: int64) (k: int) = int64 shared.Pointer + block * blockBytes + firstSum[k] * sumsStride

    let stream =
        rows.Streaming(
            kernel.Sums
            |> Array.collect (fun l -> l.Operands |> Array.map (fun o -> o.Buffer))
            |> Array.append kernel.Passing
        )

    let frameStarts = Array.append [| rows |] sums |> Array.scan (fun at nest -> at + nest.FrameSize) 0

    let place
        (frame: nativeptr<int64>)
        (memory: int64)
        (number: int)
        (nest: NestOnBuffers)
        (first: int64)
        (count: int64)
        =
        nest.Place(frame, 0L, first, 0L, count, length)
        for struct (a, which) in passing[number] do
            NativePtr.set frame (Frame.bases + a) (memory + scratchAt[needs.Length] + passingRoom * int64 which)

    /// A band through the loop, and into the sums of its block.
    let run (frames: nativeptr<int64>) (memory: int64) (block: int64) (first: int64) (count: int64) =
        let frame = frames
        place frame memory 0 rows first count
        let chosen = if isNull stream || not (rows.IsAligned frame) then rows.Code.Code else stream
        chosen.Invoke(NativePtr.toNativeInt frame)
        for k in 0 .. sums.Length - 1 do
            let frame = NativePtr.add frames frameStarts[k + 1]
            place frame memory (k + 1) sums[k] first count
            NativePtr.set frame Frame.sums (slot block k)
            let isFirst = first = block * blockRows
            let code = if isFirst then sums[k].Code.Code else sums[k].Code.More.Value
            code.Invoke(NativePtr.toNativeInt frame)

    member _.Parts = int blocks

    override _.Run(part) =
        let frames = NativePtr.stackalloc<int64> frameStarts[loops.Length]
        let memory = int64 (ThreadScratch.Take memoryBytes)
        rows.Prepare(frames, nativeint memory)
        for k in 0 .. sums.Length - 1 do
            let frame = NativePtr.add frames frameStarts[k + 1]
            sums[k].Prepare(frame, nativeint (memory + scratchAt[k + 1]))
            NativePtr.set frame Frame.sumsStride sumsStride
        let block = int64 part
        let stop = min rows.Rows ((block + 1L) * blockRows)
        let mutable first = block * blockRows
        while first < stop do
            run frames memory block first (min band (stop - first))
            first <- first + band

    /// Adds up the blocks as a tree, and stores the results.
    member _.Complete() =
        for k in 0 .. sums.Length - 1 do
            let nest = sums[k]
            let frame = NativePtr.stackalloc<int64> nest.FrameSize
            nest.Prepare(frame, ThreadScratch.Take needs[k + 1])
            NativePtr.set frame Frame.sumsStride sumsStride
            nest.Place(frame, 0L, 0L, 0L, 1L, length)
            let mutable step = 1L
            while step < blocks do
                for b in 0L .. 2L * step .. blocks - step - 1L do
                    NativePtr.set frame Frame.sums (slot b k)
                    NativePtr.set frame Frame.others (slot (b + step) k)
                    nest.Code.Merge.Invoke(NativePtr.toNativeInt frame)
                step <- 2L * step
            NativePtr.set frame Frame.sums (slot 0L k)
            nest.Code.Finish.Invoke(NativePtr.toNativeInt frame)
