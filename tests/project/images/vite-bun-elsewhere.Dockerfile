# Made by flywizard VERSION: Node 22, bun, pages in build/pages, port 8080.
FROM node:22-bookworm-slim AS builder
WORKDIR /app
RUN npm install --global bun@1
COPY package.json bun.lockb ./
RUN bun install --frozen-lockfile
COPY . .
RUN bun run build
RUN printf '%s\n' 'server { listen 8080; root /usr/share/nginx/html; absolute_redirect off; gzip on; gzip_types text/css application/javascript application/json image/svg+xml; location / { try_files $uri $uri/ /index.html; add_header Cache-Control no-cache; } location ~ ^/(assets|_next/static)/ { add_header Cache-Control "public, max-age=31536000, immutable"; } }' > /app/server.conf

FROM nginxinc/nginx-unprivileged:1.28-alpine
COPY --from=builder /app/server.conf /etc/nginx/conf.d/default.conf
COPY --from=builder /app/build/pages /usr/share/nginx/html
USER 101
EXPOSE 8080
CMD ["nginx", "-g", "daemon off;"]
