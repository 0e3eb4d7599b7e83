/**
 * Texts that pages have run, broken on, or drawn wrongly. Each must be shown as what it is.
 */

const scripts = [
  '<script>alert(1)</script>', '<SCRIPT SRC=//host.test/x.js></SCRIPT>', '"><script>alert(1)</script>', '</script><script>alert(1)</script>',
  '<img src=x onerror=alert(1)>', '<img src=`x`onerror=alert(1)>', '<svg onload=alert(1)>', '<svg><script>alert(1)</script></svg>',
  '<svg><animate onbegin=alert(1) attributeName=x dur=1s>', '<math><mtext></mtext><script>alert(1)</script></math>',
  '<body onload=alert(1)>', '<iframe src="javascript:alert(1)"></iframe>', '<iframe srcdoc="<script>alert(1)</script>">',
  '<object data="javascript:alert(1)">', '<embed src="data:text/html,<script>alert(1)</script>">', '<base href="//host.test/">',
  '<meta http-equiv=refresh content="0;url=javascript:alert(1)">', '<link rel=stylesheet href=//host.test/x.css>',
  '<style>*{display:none}</style>', '<form action=//host.test><input name=q autofocus onfocus=alert(1)>', '<details open ontoggle=alert(1)>',
  '<video><source onerror=alert(1)></video>', '<audio src=x onerror=alert(1)>', '<marquee onstart=alert(1)>', '<input autofocus onfocus=alert(1)>',
  '<a href="javascript:alert(1)">click</a>', '<a href="data:text/html,<script>alert(1)</script>">click</a>', '<button formaction=javascript:alert(1)>',
  '<template><script>alert(1)</script></template>', '<noscript><p title="</noscript><img src=x onerror=alert(1)>">', '<!--<img src="--><img src=x onerror=alert(1)//">',
  '<![CDATA[<script>alert(1)</script>]]>', '<x onclick=alert(1)>x', '<img src=1 href=1 onerror="javascript:alert(1)"></img>', '\'"--></style></script><svg onload=alert(1)>',
];
const addresses = [
  'javascript:alert(1)', 'JaVaScRiPt:alert(1)', 'java\tscript:alert(1)', 'data:text/html,<script>alert(1)</script>', 'vbscript:msgbox(1)',
  'https://host.test/"onmouseover=alert(1)//', 'https://host.test/\'><script>alert(1)</script>', 'http://javascript:alert(1)@host.test/', 'https://host.test/<svg/onload=alert(1)>',
  'file:///etc/passwd', 'blob:https://host.test/1', 'https://xn--80ak6aa92e.test/', '[click](javascript:alert(1))',
];
const templates = [
  '{{constructor.constructor("alert(1)")()}}', '${alert(1)}', '#{alert(1)}', '<%= alert(1) %>', '{{7*7}}', '[[${7*7}]]', '`${alert(1)}`', '```<script>alert(1)</script>```', '`<img src=x onerror=alert(1)>`',
  '__proto__', 'constructor', '{"__proto__":{"x":1}}', '&lt;script&gt;alert(1)&lt;/script&gt;', '&#60;script&#62;', '\\u003cscript\\u003e', '%3Cscript%3Ealert(1)%3C/script%3E',
];
const drawn = [
  '\u2067rtl\u2069 isolate', 'a\u2066b\u2069c', 'שלום <b>עולם</b> abc', 'مرحبا https://host.test/مرحبا', 'z\u0300\u0301\u0302\u0303\u0304\u0305'.repeat(60), 'x'.repeat(4000),
  '👩‍👩‍👧‍👦👍🏽🏳️‍🌈🇩🇪'.repeat(40), '﷽'.repeat(80), 'ﬀ\u200b\u200d\ufeffzero width', 'line\nbreak\n\n\n\nmany', '\ttabs\tand   spaces   ', '(╯°□°)╯︵ ┻━┻',
];

/** Texts that a room takes. */
export const PAYLOADS = [...scripts, ...addresses, ...templates, ...drawn];

/** Texts that must be refused: overrides of direction, NUL. */
export const REFUSED = ['a\u202eb', 'a\u0000b', '\u202a', 'a\u0007b'];
