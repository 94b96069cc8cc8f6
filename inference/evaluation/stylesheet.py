"""How the report looks: light and dark as the reader's system is, one column on a phone."""

STYLE = """
:root{color-scheme:light dark;--page:#f5f6f8;--card:#fff;--ink:#1a1f26;--muted:#5c6672;--line:#e2e5ea;--grid:#eceef2;
--ours:#2563eb;--wrong:#d6336c;--escalated:#e8a33d;--escalated-2:#b9770e;--escalated-3:#8a8f98;--base:#7a828d;
--on:#fff;--tint:#eef3fe}
@media(prefers-color-scheme:dark){:root{--page:#0f1216;--card:#171b21;--ink:#e7eaee;--muted:#98a2af;--line:#2a3039;
--grid:#232931;--ours:#6ea5ff;--wrong:#ff7aa2;--escalated:#d99a3c;--escalated-2:#a8731f;--escalated-3:#77808c;
--base:#8f99a6;--on:#0b0e12;--tint:#1b2536}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums;-webkit-text-size-adjust:100%}
main{max-width:1080px;margin:0 auto;padding:28px 20px 56px}
h1{font-size:26px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:21px;margin:44px 0 4px;text-transform:capitalize;letter-spacing:-.01em}
h3{font-size:17px;margin:0 0 2px}h4{font-size:13px;font-weight:600;margin:0 0 6px}
p{margin:0 0 10px}.muted,.facts{color:var(--muted)}.facts{font-size:13.5px}.facts span{white-space:nowrap}
code{font:12.5px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px 20px;margin:14px 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:14px 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:13px 16px}
.tile b{display:block;font-size:25px;line-height:1.25;font-weight:650;letter-spacing:-.02em}
.tile small{display:block;color:var(--muted);font-size:12.5px;line-height:1.4}
.tile .what{font-size:13px;color:var(--ink)}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr));gap:14px 28px;align-items:start}
.pair>*{min-width:0}.card .pair{margin-top:14px}
.bar{display:flex;height:30px;border-radius:7px;overflow:hidden;background:var(--grid);margin:6px 0 8px}
.bar i{display:block;min-width:2px;border-right:1px solid var(--card)}.bar i:last-child{border:0}
.legend{display:flex;flex-wrap:wrap;gap:3px 16px;font-size:13px;color:var(--muted);margin:0 0 8px;padding:0;
list-style:none}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;vertical-align:-1px}
.legend i.stroke{height:0;width:18px;border-radius:0;border-top:2.5px solid;background:none!important;
vertical-align:4px}
.legend i.dashed{border-top-style:dashed}.legend i.dot{border-radius:50%}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch;margin:0 -4px;padding:0 4px}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--muted);font-size:12.5px;vertical-align:bottom}
th:first-child,td:first-child,td.text,th.text{text-align:left}tbody tr:last-child td{border-bottom:0}
tr.base td{color:var(--muted);font-size:12.5px}tr.base td:first-child{padding-left:24px}
.pairs td{white-space:normal;overflow-wrap:break-word}.pairs td:last-child{white-space:nowrap}
tr.joined td{border-bottom-color:transparent}
tr.decides td:first-child::after{content:"decides";margin-left:8px;padding:1px 7px;border-radius:9px;font-size:11px;
background:var(--tint);color:var(--ours)}
.meter{display:inline-block;width:84px;height:7px;border-radius:4px;background:var(--grid);margin-right:9px;
overflow:hidden;vertical-align:1px}.meter i{display:block;height:100%;background:var(--ours);border-radius:4px}
.pairs .meter{width:40px}.meter.wrong i{background:var(--wrong)}.meter.base i{background:var(--base)}
.scroll+.facts{margin-top:10px}
.figure{display:inline-block;min-width:52px}
figure{margin:0}figcaption{color:var(--muted);font-size:12.5px;margin-top:4px;line-height:1.45}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{fill:var(--muted);font-size:12px;font-family:inherit}svg .small{font-size:10px}
svg .title{fill:var(--ink);font-size:12px}.grid{stroke:var(--grid);stroke-width:1}
.frame{stroke:var(--line);stroke-width:1;fill:none}
.ours{stroke:var(--ours);fill:none;stroke-width:2.25;stroke-linejoin:round}
.base-line{stroke:var(--base);fill:none;stroke-width:2;stroke-linejoin:round;stroke-dasharray:1 0}
.limit{stroke:var(--wrong);stroke-width:1.5;stroke-dasharray:5 4;fill:none}
.diagonal{stroke:var(--base);stroke-width:1.25;stroke-dasharray:4 4}
.through{stroke:var(--ours);fill:none;stroke-width:1.5;opacity:.45}.dot{fill:var(--ours);stroke:var(--card);stroke-width:1.5}.here{fill:var(--wrong);stroke:var(--card);stroke-width:2}
.whisker{stroke:var(--ours);stroke-width:1.25;opacity:.5}.count{fill:var(--ours);opacity:.35}
.hit{fill:var(--ours)}.miss{fill:var(--wrong)}.empty{fill:var(--grid);opacity:.55}
svg text.in{fill:var(--ink);font-size:11px;text-anchor:middle}svg text.on{fill:var(--on);font-weight:600}
.note{border-left:3px solid var(--escalated);padding:2px 0 2px 12px;margin:10px 0;color:var(--muted);font-size:13.5px}
details{margin-top:34px}summary{cursor:pointer;color:var(--muted)}dl{margin:10px 0 0}dt{font-weight:600;margin-top:10px}
dd{margin:2px 0 0;color:var(--muted)}
@media(max-width:560px){main{padding:20px 14px 40px}.card{padding:14px}h1{font-size:22px}.tiles{grid-template-columns:
repeat(2,1fr);gap:9px}.tile{padding:11px 12px}.tile b{font-size:21px}svg text,svg .title{font-size:14px}
svg .small{font-size:11px}.map svg text{font-size:12px}.meter{width:48px}}
@media print{body{background:#fff}.card,.tile{break-inside:avoid}}
"""
