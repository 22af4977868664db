// Draws <canvas data-chart="ID"> from the JSON of that id: { kind, axes, labels, series: [{ name, values }] }. kind:
// bars, stacks (bars upon each other), lying (bars from the left) or lines; axes: what the labels are, and the numbers;
// of lines, from_zero: the scale begins there; has_gaps: a missing number interrupts them.
// Colours are those of the page, so that a change of theme redraws.
(() => {
  "use strict";

  const drawn = [];

  function colours() {
    const style = getComputedStyle(document.body);
    const of = (name) => style.getPropertyValue(name).trim();
    return {
      text: of("--at-muted"),
      line: of("--at-line"),
      series: ["--at-string", "--at-number", "--at-boolean", "--at-timestamp", "--at-good", "--at-bad", "--at-warn", "--at-muted"].map(of),
    };
  }

  // A name may be as long as 255 characters.
  function title(text, palette) {
    return { display: Boolean(text), text: text?.length > 40 ? `${text.slice(0, 39)}…` : text, color: palette.text, font: { size: 11 } };
  }

  function options(kind, many, fromZero, [labelled, counted], palette) {
    const grid = { color: palette.line, drawTicks: false };
    const ticks = { color: palette.text, padding: 6, maxRotation: 0, autoSkipPadding: 16 };
    const counts = { beginAtZero: fromZero || kind !== "lines", stacked: kind === "stacks", grid, ticks: { ...ticks, precision: kind === "lines" ? undefined : 0 }, border: { display: false }, title: title(counted, palette) };
    const labels = { stacked: kind === "stacks", grid: { display: false }, ticks: { ...ticks, autoSkip: kind !== "lying" }, border: { color: palette.line }, title: title(labelled, palette) };
    return {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      indexAxis: kind === "lying" ? "y" : "x",
      interaction: { mode: "index", intersect: false, axis: kind === "lying" ? "y" : "x" },
      plugins: { legend: { display: many, labels: { color: palette.text, usePointStyle: true, boxHeight: 6 } } },
      scales: kind === "lying" ? { x: counts, y: labels } : { x: labels, y: counts },
    };
  }

  function draw(canvas) {
    const { kind, axes = [], labels, series, from_zero: fromZero, has_gaps: hasGaps } = JSON.parse(document.getElementById(canvas.dataset.chart).textContent);
    const palette = colours();
    // A line of one point is not a line: it stands as a bar.
    const isLine = kind === "lines" && labels.length > 1;
    const datasets = series.map(({ name, values }, at) => ({
      label: name,
      data: values,
      borderColor: palette.series[at % palette.series.length],
      backgroundColor: palette.series[at % palette.series.length],
      borderWidth: isLine ? 2 : 0,
      pointRadius: 0,
      maxBarThickness: kind === "lines" ? 48 : undefined,
      pointHitRadius: 8,
      borderDash: at === 1 && kind === "lines" ? [4, 3] : [],
      categoryPercentage: kind === "bars" ? 1 : 0.8,
      barPercentage: 0.92,
      spanGaps: !hasGaps,
    }));
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    return new Chart(canvas, { type: isLine ? "line" : "bar", data: { labels, datasets }, options: options(isLine ? "lines" : kind === "lines" ? "bars" : kind, series.length > 1, fromZero, axes, palette) });
  }

  function drawAll() {
    for (const chart of drawn.splice(0)) {
      chart.destroy();
    }
    for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
      drawn.push(draw(canvas));
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    drawAll();
    new MutationObserver(drawAll).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  });
})();
