module Nanograd.Laws.Placeholder

// FsCheck.NUnit last: both namespaces have a PropertyAttribute. The engine finds tests only in an assembly that refers to
// NUnit itself, so at least one plain test stands beside the properties.
open NUnit.Framework
open FsCheck.NUnit

[<Test>]
let ``the test project runs`` () = Assert.That(1 + 1, Is.EqualTo 2)

[<Property>]
let ``addition of integers commutes`` (x: int) (y: int) = x + y = y + x
