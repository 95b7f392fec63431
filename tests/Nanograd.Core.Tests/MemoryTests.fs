/// Where buffers live: those that are alive together are apart, and the arena is hardly longer than it must be.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Core.Tests.Programs.Programs> |])>]
module Nanograd.Core.Tests.MemoryTests

open System
open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests.Programs

let private bytes (b: PlanBuffer) = int64 b.Length * int64 (DType.size b.DType)

/// The buffers of a plan in its arena with their lifetimes, from what its kernels touch: states of one piece of memory are one.
let private tenants (plan: Plan) (memory: MemoryPlan) : struct (int64 * Tenant)[] =
    let rec origin b =
        match memory.Homes[b] with
        | Home.SameAs other -> origin other
        | _ -> b
    let touching = Array.create plan.Buffers.Length Set.empty
    plan.Kernels
    |> Array.iteri (fun k kernel ->
        let struct (reads, writes) = Kernel.touches kernel
        for b in Array.append reads writes do
            if b >= 0 then touching[origin b] <- touching[origin b].Add k)
    [| for b in 0 .. plan.Buffers.Length - 1 do
           match memory.Homes[b] with
           | Home.Arena offset ->
               struct (offset,
                       { Bytes = bytes plan.Buffers[b]
                         First = touching[b].MinimumElement
                         Last = touching[b].MaximumElement })
           | _ -> () |]

let private meet (struct (o, a): struct (int64 * Tenant)) (struct (p, b): struct (int64 * Tenant)) =
    a.First <= b.Last && b.First <= a.Last && o < p + b.Bytes && p < o + a.Bytes

let private checkApart (places: struct (int64 * Tenant)[]) =
    for i in 0 .. places.Length - 1 do
        for j in 0 .. i - 1 do
            if meet places[i] places[j] then failwith $"{places[j]} and {places[i]} share memory while both are alive"

let rec private plans (plan: Plan) (memory: MemoryPlan) : (Plan * MemoryPlan) list =
    (plan, memory)
    :: [ for k in plan.Kernels do
             match k with
             | Kernel.Repeat r -> yield! plans r.Body r.Memory
             | _ -> () ]

let private layouts (p: Sample) =
    let literals, inputs, outputs = abstracted p.Roots
    let plan = Lower.plan inputs outputs
    let random = Random p.Seed
    plans plan (MemoryPlan.make plan (literals |> Array.map (fun _ -> random.Next 2 = 0)))

[<Law 100>]
let ``what is alive at the same time is apart`` (p: WildProgram) =
    for plan, memory in layouts p do
        checkApart (tenants plan memory)

/// Lifetimes as those of programs: many short ones, some long ones, sizes of all magnitudes.
let private random (seed: int) (count: int) =
    let random = Random seed
    Array.init count (fun _ ->
        let first = random.Next count
        let length = if random.Next 4 = 0 then random.Next count else random.Next 6
        { Bytes = 64L * int64 (1 + random.Next(1 <<< random.Next 12))
          First = first
          Last = min (count - 1) (first + length) })

[<Test>]
let ``any tenants are apart, as long as they may be`` () =
    for seed in 1..200 do
        let all = random seed (1 + seed)
        let struct (offsets, size) = Arena.place all
        let places = Array.map2 (fun o t -> struct (o, t)) offsets all
        checkApart places
        for struct (o, t) in places do
            Assert.That(o, Is.GreaterThanOrEqualTo 0L)
            Assert.That(o + t.Bytes, Is.LessThanOrEqualTo size)
        Assert.That(size, Is.GreaterThanOrEqualTo(Arena.bound all))

[<Test>]
let ``arenas are near the least that any could be`` () =
    let excess count seed =
        let all = random seed count
        let struct (_, size) = Arena.place all
        float size / float (Arena.bound all)
    for count in [ 10; 40; 150; 600 ] do
        let ratios = Array.init 40 (excess count)
        Assert.That(Array.average ratios, Is.LessThan 1.05, $"{count} tenants, on average")
        Assert.That(Array.max ratios, Is.LessThan 1.25, $"{count} tenants, at worst")

[<Test>]
let ``very many tenants are placed quickly`` () =
    let all = random 1 30_000
    let clock = Diagnostics.Stopwatch.StartNew()
    let struct (_, size) = Arena.place all
    Assert.That(clock.Elapsed.TotalSeconds, Is.LessThan 5.0)
    Assert.That(float size, Is.LessThan(1.5 * float (Arena.bound all)))

[<Test>]
let ``nobody needs no memory, and an empty value does not hurt`` () =
    Assert.That(Arena.place [||] = struct ([||], 0L))
    let struct (_, size) =
        Arena.place
            [| { Bytes = 0L; First = 0; Last = 3 }
               { Bytes = 64L; First = 1; Last = 1 }
               { Bytes = 64L; First = 2; Last = 2 } |]
    Assert.That(size, Is.EqualTo 64L)
