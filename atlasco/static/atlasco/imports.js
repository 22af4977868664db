// Uploading a file, and the mapping of its columns. Without it a plain form does the same.
(() => {
  "use strict";

  // Unfold looks beside each file field for a text field of its own forms, and fails where there is none.
  for (const input of document.querySelectorAll("input[type=file]")) {
    input.hasChangeListener = true;
  }

  const numbers = new Intl.NumberFormat();

  function dropZone(zone) {
    const input = zone.querySelector("input[type=file]");
    const problem = zone.querySelector("[data-drop-problem]");
    const progress = zone.querySelector("[data-drop-progress]");
    const words = zone.querySelector("[data-drop-words]");
    const button = zone.querySelector("button[type=submit]");

    function refuse(text) {
      problem.textContent = text;
      problem.hidden = false;
      progress.hidden = true;
      button.disabled = false;
    }

    function send() {
      const file = input.files[0];
      if (!file) {
        return;
      }
      if (file.size > Number(zone.dataset.room)) {
        refuse("The files that wait for an import would be larger than this tenant's may be. Import or cancel some of them first.");
        return;
      }
      problem.hidden = true;
      progress.hidden = false;
      button.disabled = true;
      const request = new XMLHttpRequest();
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable) {
          progress.querySelector("progress").value = event.loaded / event.total * 100;
          words.textContent = `${numbers.format(Math.round(event.loaded / event.total * 100))} % of ${file.name}`;
        }
      });
      request.addEventListener("load", () => {
        if (request.status < 400) {
          location.assign(request.responseURL);
          return;
        }
        const page = new DOMParser().parseFromString(request.responseText, "text/html");
        refuse(page.querySelector("[data-drop-problem]")?.textContent || "The file was refused.");
      });
      request.addEventListener("error", () => refuse("The connection broke. Try again."));
      request.open("POST", location.href);
      request.send(new FormData(zone));
    }

    for (const name of ["dragenter", "dragover"]) {
      zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("at-drop-over"); });
    }
    zone.addEventListener("dragleave", (event) => {
      if (!zone.contains(event.relatedTarget)) {
        zone.classList.remove("at-drop-over");
      }
    });
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("at-drop-over");
      if (event.dataTransfer.files.length) {
        input.files = event.dataTransfer.files;
        send();
      }
    });
    input.addEventListener("change", send);
    zone.addEventListener("submit", (event) => { event.preventDefault(); send(); });
  }

  // A column that is not an attribute has neither name nor type of its own.
  function columnShow(select) {
    for (const field of select.closest("tr").querySelectorAll("input[type=text], select:not([data-use])")) {
      field.disabled = select.value !== "attribute";
    }
  }

  function mappingForm(form) {
    let timer = 0;
    const url = form.dataset.preview;
    form.querySelectorAll("[data-use]").forEach(columnShow);
    form.addEventListener("input", (event) => {
      if (event.target.matches("[data-submit]")) {
        return;
      }
      if (event.target.matches("[data-use]")) {
        columnShow(event.target);
      }
      clearTimeout(timer);
      timer = setTimeout(async () => {
        const answer = await fetch(url, { method: "POST", body: new FormData(form), credentials: "same-origin" });
        if (answer.ok) {
          document.getElementById("preview").outerHTML = await answer.text();
        }
      }, 250);
    });
  }

  // What a worker is at: asked again every second, and the page anew when there is more to say.
  function poll() {
    const running = document.querySelector("[data-poll]");
    if (!running) {
      return;
    }
    setTimeout(async () => {
      try {
        const answer = await fetch(running.dataset.poll, { credentials: "same-origin" });
        if (answer.headers.get("HX-Refresh")) {
          location.reload();
          return;
        }
        if (answer.ok) {
          running.outerHTML = await answer.text();
        }
      } catch {
        // The connection will come back, or not: the next look tells.
      }
      poll();
    }, 1000);
  }

  document.addEventListener("DOMContentLoaded", () => {
    poll();
    document.querySelectorAll("[data-drop]").forEach(dropZone);
    document.querySelectorAll("[data-preview]").forEach(mappingForm);
  });
})();
