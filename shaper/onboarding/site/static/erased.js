// All is deleted: forget this browser's own test results, too.

localStorage.removeItem("shaper-tests-" + document.currentScript.dataset.study);
