# Made by flywizard VERSION: Node 22, npm, pages in out, port 3000.
FROM node:22-bookworm-slim AS builder
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
ARG NEXT_PUBLIC_API_URL
ENV NEXT_PUBLIC_API_URL=$NEXT_PUBLIC_API_URL
RUN npm run build
RUN printf '%s\n' 'server { listen 3000; root /usr/share/nginx/html; error_page 404 /404.html; absolute_redirect off; gzip on; gzip_types text/css application/javascript application/json image/svg+xml; location / { try_files $uri $uri.html $uri/ =404; add_header Cache-Control no-cache; } location ~ ^/(assets|_next/static)/ { add_header Cache-Control "public, max-age=31536000, immutable"; } }' > /app/server.conf

FROM nginxinc/nginx-unprivileged:1.28-alpine
COPY --from=builder /app/server.conf /etc/nginx/conf.d/default.conf
COPY --from=builder /app/out /usr/share/nginx/html
USER 101
EXPOSE 3000
CMD ["nginx", "-g", "daemon off;"]
