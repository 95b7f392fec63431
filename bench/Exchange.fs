namespace Nanograd.Bench

#nowarn "9" // values are written from where they are

open System
open System.IO
open System.Text.Json.Nodes
open Microsoft.FSharp.NativeInterop
open Nanograd

/// Tensors in files that both sides read and write: NAME.bin holds the elements, one tensor after another, little-endian;
/// NAME.json says their types and shapes.
module Exchange =
    let private json name folder = Path.Combine(folder, name + ".json")
    let private bin name folder = Path.Combine(folder, name + ".bin")

    let private typeName (t: DType) =
        match t with
        | DType.F32 -> "f32"
        | DType.I64 -> "i64"
        | DType.I32 -> "i32"
        | other -> failwith $"{other} has no name in the files of the benchmark"

    /// Files of at most 2 GiB a tensor.
    let write (folder: string) (name: string) (tensors: Tensor[]) : unit =
        use data = File.Create(bin name folder)
        let entries = JsonArray()
        for t in eval tensors do
            let s = Program.storage t
            data.Write(
                ReadOnlySpan<byte>(
                    NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> s.Pointer),
                    s.Length * DType.size s.DType
                )
            )
            GC.KeepAlive s
            let shape = JsonArray [| for e in t.Shape -> JsonValue.Create e :> JsonNode |]
            let entry = JsonObject()
            entry["dtype"] <- typeName t.DType
            entry["shape"] <- shape
            entries.Add entry
        File.WriteAllText(json name folder, entries.ToJsonString())

    /// Shapes and elements of what was written as f32.
    let readFloats (folder: string) (name: string) : (int[] * float32[])[] =
        use data = File.OpenRead(bin name folder)
        [| for entry in (JsonNode.Parse(File.ReadAllText(json name folder)): JsonNode).AsArray() do
               let shape = [| for e in entry["shape"].AsArray() -> e.GetValue<int>() |]
               if entry["dtype"].GetValue<string>() <> "f32" then failwith "results are compared as f32"
               let values = Array.zeroCreate<float32>(Array.fold (*) 1 shape)
               data.ReadExactly(Runtime.InteropServices.MemoryMarshal.AsBytes(values.AsSpan()))
               shape, values |]
