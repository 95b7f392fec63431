module Nanograd.Core.Tests.Placeholder

open NUnit.Framework

[<Test>]
let ``the test project runs`` () = Assert.That(1 + 1, Is.EqualTo 2)
